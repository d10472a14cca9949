// Walks the whole way of a client that knows nothing but the endpoint's URL, with the
// official TypeScript SDK: refused, it finds the authorization server, registers,
// sends its user there, comes back with a code, gets a token and calls. A tool that
// wants more scopes sends it there once more.
//
//   node oauth.mjs URL '[{"do":"tools/call","name":"add","arguments":{}}]' [VERSION] [USER]
//
// VERSION of the SDK is "v1" unless given, or "v2", or "v2-modern" for 2026-07-28.
// Prints {"steps":[{"result":...}|{"error":{"code","message"}}], "asked":[SCOPE, ...],
// "resources":[...], "registered":N, "scope":"of the last token"}: asked has the scope
// of each time that the user was sent to the authorization server.
import * as sdk2 from "@modelcontextprotocol/client";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import * as sdk1 from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, stepsText = "[]", version = "v1", user = "ada"] = process.argv.slice(2);
const redirect = "http://127.0.0.1:1/callback"; // nobody listens: the code is taken from the address

let information, tokens, verifier, code, discovery;
const asked = [];
const resources = [];
let registered = 0;

// browse follows redirects with cookies, as a browser does, and returns the code.
async function browse(at) {
  const jar = new Map();
  let next = at;
  for (let hop = 0; hop < 20; hop++) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await fetch(next, { redirect: "manual", headers: cookie ? { cookie } : {} });
    for (const line of answer.headers.getSetCookie()) {
      const [name, ...value] = line.split(";")[0].split("=");
      if (value.join("=")) jar.set(name, value.join("="));
      else jar.delete(name);
    }
    const location = answer.headers.get("location");
    if (!location) throw new Error(`no redirect from ${next}: ${answer.status} ${await answer.text()}`);
    next = new URL(location, next);
    if (next.href.startsWith(redirect)) {
      const found = next.searchParams.get("code");
      if (!found) throw new Error(`no code: ${next}`);
      return { code: found, parameters: next.searchParams };
    }
  }
  throw new Error("too many redirects");
}

const provider = {
  redirectUrl: redirect,
  clientMetadata: {
    client_name: "test-client-ts",
    redirect_uris: [redirect],
    grant_types: ["authorization_code"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
    application_type: "native",
  },
  clientInformation: () => information,
  saveClientInformation: (of) => {
    registered++;
    information = of;
  },
  tokens: () => tokens,
  saveTokens: (of) => {
    tokens = of;
  },
  saveCodeVerifier: (of) => {
    verifier = of;
  },
  codeVerifier: () => verifier,
  saveDiscoveryState: (of) => {
    discovery = of;
  },
  discoveryState: () => discovery,
  redirectToAuthorization: async (to) => {
    asked.push(to.searchParams.get("scope"));
    resources.push(to.searchParams.get("resource"));
    to.searchParams.set("login_hint", user);
    code = await browse(to);
  },
};

const v2 = version.startsWith("v2");
const Client = (v2 ? sdk2 : sdk1).Client;
const Transport = v2 ? sdk2.StreamableHTTPClientTransport : StreamableHTTPClientTransport;
const Unauthorized = v2 ? sdk2.UnauthorizedError : UnauthorizedError;

// willing does something, and once more for each time that the user came back with a
// code.
async function willing(something) {
  for (let times = 0; ; times++) {
    try {
      return await something();
    } catch (error) {
      if (!(error instanceof Unauthorized) || times > 2) throw error;
      await transport.finishAuth(v2 ? code.parameters : code.code);
    }
  }
}

let client, transport;
await willing(async () => {
  transport = new Transport(new URL(url), { authProvider: provider });
  client = new Client(
    { name: "test-client-ts", version: "1.0.0" },
    { versionNegotiation: { mode: version === "v2-modern" ? { pin: "2026-07-28" } : "legacy" } },
  );
  await client.connect(transport);
});

const steps = [];
for (const { do: method, ...params } of JSON.parse(stepsText)) {
  try {
    const result = await willing(() => (method === "tools/list" ? client.listTools() : client.callTool(params)));
    steps.push({ result });
  } catch (error) {
    steps.push({ error: { code: error.code, message: error.message } });
  }
}
const { scope } = tokens ?? {};
await client.close();
console.log(JSON.stringify({ steps, asked, resources, registered, scope }));
process.exit(0);
