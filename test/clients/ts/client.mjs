// Runs a list of steps against an MCP endpoint with the official TypeScript SDK
// and prints one JSON document of what the SDK handed to its user.
//
//   node client.mjs URL '[{"do":"tools/list"},{"do":"tools/call","name":"add","arguments":{"a":1}}]' [TRANSPORT] [OPTIONS]
//
// Output: {"initialize":{...},"steps":[{"result":...}|{"error":{"code","message"}}, ...],
// "listChanged":[methods],"notifications":[{"method","params"}],"requests":[{"method","params"}]}.
// A step of tools/call also has "progress", one entry for each notification that
// arrived before the result. Steps that are no requests of the protocol:
//
//   {"do":"wait","method":M,"text":T}   until a notification M with T in its params has arrived, at most 10 s
//   {"do":"roots","roots":[...]}        new roots, told to the server
//   {"do":"tools/list/pages"}           follows the cursors; its step has "pages", how many there were
//   {"do":"together","steps":[...]}     all at once; its result is {"steps":[...]}
//   {"do":"tools/call",...,"cancel":true}  gives the call up at its first progress
//   {"do":"tools/call",...,"until":T}   again and again until T is in the answer, at most 10 s
//   {"do":"tools/list","until":T}       the same of the list
//   {"do":"tools/call",...,"timeout":MS}
//
//   {"do":"listen","tools":true,"uris":[...]}  keeps a subscription of the stateless revision
//   {"do":"tools/call",...,"meta":{...}}  with that _meta
//
// TRANSPORT is "http" unless given, or "sse": HTTP+SSE, to the URL of the stream. The
// SDK is of version 1, which has sessions. "v2" and "v2-modern" are Streamable HTTP
// with its version 2, which opens a session, or speaks 2026-07-28.
// OPTIONS: {"answers":{"elicitation/create":{"result":{...}},"sampling/createMessage":{"error":{"code","message"}},
// "roots/list":{"result":{...}}},"atOnce":N,"delay":MS}: what the client declares is what it has answers for.
// $TEXT in an answer stands for the text that the server asked. Of the first N
// requests none is answered before all of them are there; then the last goes first.
// Each answer is given MS after that.
import * as sdk2 from "@modelcontextprotocol/client";
import * as sdk1 from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";

const [url, stepsText = "[]", transportName = "http", optionsText = "{}"] = process.argv.slice(2);
const { answers = {}, atOnce = 0, delay = 0 } = JSON.parse(optionsText);
const patience = 10_000;

const declared = {
  "sampling/createMessage": { sampling: {} },
  "elicitation/create": { elicitation: { form: {} } },
  "roots/list": { roots: { listChanged: true } },
};
const capabilities = Object.assign({}, ...Object.keys(answers).map((method) => declared[method]));
const v2 = transportName.startsWith("v2");
const client = new (v2 ? sdk2 : sdk1).Client(
  { name: "test-client-ts", version: "1.0.0" },
  {
    capabilities,
    versionNegotiation: { mode: transportName === "v2-modern" ? { pin: "2026-07-28" } : "legacy" },
    listMaxPages: 0,
  },
);
const transports = {
  http: StreamableHTTPClientTransport,
  sse: SSEClientTransport,
  v2: sdk2.StreamableHTTPClientTransport,
  "v2-modern": sdk2.StreamableHTTPClientTransport,
};
const transport = new transports[transportName](new URL(url));

const notifications = [];
let wake = () => {};
client.fallbackNotificationHandler = async ({ method, params }) => {
  notifications.push({ method, params });
  wake();
};

// waitFor asks until the condition holds, after each notification and twice a second.
async function waitFor(what, condition) {
  const deadline = Date.now() + patience;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`no ${what} within ${patience} ms`);
    let timer;
    await new Promise((resolve) => {
      wake = resolve;
      timer = setTimeout(resolve, 500);
    });
    clearTimeout(timer);
  }
  return {};
}

async function tools(until = "") {
  let result;
  await waitFor(until, async () => {
    result = v2 ? await client.listTools(undefined, { cacheMode: "bypass" }) : await client.listTools();
    return JSON.stringify(result).includes(until);
  });
  return result;
}

async function allTools(step) {
  const tools = [];
  let cursor;
  step.pages = 0;
  do {
    const page = await client.listTools({ cursor });
    tools.push(...page.tools);
    cursor = page.nextCursor;
    step.pages++;
  } while (cursor !== undefined);
  return { tools };
}

const requests = [];
const held = [];

// turn waits until the first atOnce requests are all there, and then for those after this one.
async function turn() {
  const mine = requests.length;
  if (mine > atOnce) return;
  await new Promise((resolve) => {
    held.push(resolve);
    if (mine === atOnce) held.pop()();
  });
  // The one before this one goes when this one's answer is on its way.
  setTimeout(() => held.pop()?.(), 20);
}

async function answer({ method, params }) {
  requests.push({ method, params });
  await turn();
  if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
  const { result, error } = answers[method];
  // The SDK's own class would put words before the message.
  if (error) throw Object.assign(new Error(error.message), { code: error.code });
  const text = params?.message ?? params?.messages?.[0]?.content?.text ?? "";
  return JSON.parse(JSON.stringify(result).replaceAll("$TEXT", JSON.stringify(text).slice(1, -1)));
}

for (const [method, schema] of [
  ["sampling/createMessage", CreateMessageRequestSchema],
  ["elicitation/create", ElicitRequestSchema],
  ["roots/list", ListRootsRequestSchema],
]) {
  if (answers[method]) client.setRequestHandler(v2 ? method : schema, answer);
}

async function call({ cancel, until, timeout = 30_000, meta, ...params }, step) {
  if (meta) params._meta = meta;
  const abort = new AbortController();
  const options = {
    timeout,
    resetTimeoutOnProgress: true,
    signal: abort.signal,
    onprogress: (progress) => {
      // Version 2 also reports by itself, before each round of input.
      if (!progress.message?.startsWith("Fulfilling input required")) step.progress.push(progress);
      if (cancel) abort.abort("given up");
    },
  };
  let result;
  const ask = async () => {
    step.progress = [];
    result = v2 ? await client.callTool(params, options) : await client.callTool(params, undefined, options);
    return until === undefined || JSON.stringify(result).includes(until);
  };
  if (until === undefined) await ask();
  else await waitFor(until, ask);
  return result;
}

async function run({ do: method, ...params }, step) {
  switch (method) {
    case "ping":
      return client.ping();
    case "wait":
      return waitFor(`${method} ${params.text ?? ""}`, () =>
        notifications.some((n) => n.method === params.method && JSON.stringify(n.params ?? {}).includes(params.text ?? "")),
      );
    case "roots":
      answers["roots/list"].result.roots = params.roots;
      return (await client.sendRootsListChanged()) ?? {};
    case "together":
      return { steps: await Promise.all(params.steps.map(record)) };
    case "listen": {
      const { honoredFilter } = await client.listen({
        toolsListChanged: params.tools,
        resourceSubscriptions: params.uris,
      });
      return honoredFilter;
    }
    case "tools/list":
      return tools(params.until);
    case "tools/list/pages":
      return allTools(step);
    case "tools/call":
      return call(params, step);
    case "prompts/list":
      return client.listPrompts();
    case "prompts/get":
      return client.getPrompt(params);
    case "resources/list":
      return client.listResources();
    case "resources/templates/list":
      return client.listResourceTemplates();
    case "resources/read":
      return client.readResource(params);
    case "resources/subscribe":
      return client.subscribeResource(params);
    case "resources/unsubscribe":
      return client.unsubscribeResource(params);
    case "completion/complete":
      return client.complete(params);
    case "logging/setLevel":
      return client.setLoggingLevel(params.level);
    default:
      throw new Error(`unknown step ${method}`);
  }
}

async function record(description) {
  const step = {};
  try {
    step.result = await run(description, step);
  } catch (error) {
    step.error = { code: typeof error.code === "number" ? error.code : 0, message: String(error.message ?? error) };
  }
  return step;
}

await client.connect(transport);
const output = {
  initialize: {
    protocolVersion: v2 ? client.getNegotiatedProtocolVersion() : (transport.protocolVersion ?? transport._protocolVersion),
    serverInfo: client.getServerVersion(),
    capabilities: client.getServerCapabilities(),
    instructions: client.getInstructions(),
    hasSession: Boolean(transport.sessionId),
  },
  steps: [],
  notifications,
  requests,
};
for (const description of JSON.parse(stepsText)) output.steps.push(await record(description));
await transport.terminateSession?.();
await client.close();
output.listChanged = notifications.map(({ method }) => method).filter((method) => method.endsWith("/list_changed"));
console.log(JSON.stringify(output));
