// A server of version 2 of the official TypeScript SDK whose tools are the same in
// both eras of the protocol: before 2026-07-28 it asks its client with requests,
// since then with results that require input.
//
//   node eras.mjs PORT ERA
//
// serves http://127.0.0.1:PORT/mcp. ERA is "legacy", which knows no revision since
// 2026-07-28, "modern", which knows no other, or "both". The tools are those of
// ../py/eras.py.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { Readable } from "node:stream";
import {
  acceptedContent,
  createMcpHandler,
  inputRequired,
  isLegacyRequest,
  McpServer,
  ResourceTemplate,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import * as z from "zod";

const [port, era] = process.argv.slice(2);
const cancelled = new Set();
const grown = new Set();
const sessions = new Map(); // id -> {server, transport, uris}

const text = (words) => ({ content: [{ type: "text", text: words }] });
const name = z.object({ name: z.string() });

// asks makes a tool of one question and of what becomes of the answer.
const asks = (question, answer) => async (args, ctx) => {
  const { answer: given } = ctx.mcpReq.inputResponses ?? {};
  if (given === undefined) return inputRequired({ inputRequests: { answer: question(args) } });
  return text(answer(given, ctx));
};

// build is a server, for one session or one request.
function build() {
  const server = new McpServer(
    { name: "eras", version: "1.0.0" },
    { capabilities: { logging: {}, tools: { listChanged: true }, resources: { subscribe: true } } },
  );
  const tool = (name, inputSchema, run, more = {}) =>
    server.registerTool(name, { inputSchema: z.object(inputSchema), ...more }, run);

  tool("echo", { text: z.string() }, async ({ text: words }) => text(`echo ${words}`));
  tool(
    "add",
    { a: z.number().int(), b: z.number().int() },
    async ({ a, b }) => ({ ...text(String(a + b)), structuredContent: { sum: a + b } }),
    { outputSchema: z.object({ sum: z.number().int() }) },
  );
  tool("fail", {}, async () => ({ ...text("out of order"), isError: true }));
  tool("count", { to: z.number().int() }, async ({ to }, { mcpReq }) => {
    for (let i = 1; i <= to; i++) {
      await notify(mcpReq, "notifications/progress", { progress: i, total: to, message: `step ${i}` });
    }
    return text(`counted to ${to}`);
  });
  tool(
    "ask_user",
    { message: z.string() },
    asks(
      ({ message }) => inputRequired.elicit({ message, requestedSchema: name }),
      (_, { mcpReq }) => `the user says ${acceptedContent(mcpReq.inputResponses, "answer", name)?.name}`,
    ),
  );
  tool(
    "ask_model",
    { prompt: z.string() },
    asks(
      ({ prompt }) =>
        inputRequired.createMessage({
          messages: [{ role: "user", content: { type: "text", text: prompt } }],
          maxTokens: 10,
        }),
      ({ content }) => `the model says ${content.text}`,
    ),
  );
  tool(
    "ask_roots",
    {},
    asks(
      () => inputRequired.listRoots(),
      ({ roots }) => `roots ${roots.map(({ uri }) => uri).join(" ")}`,
    ),
  );
  tool("log", { text: z.string() }, async ({ text: words }, { mcpReq }) => {
    for (const level of ["debug", "error"]) await mcpReq.log(level, `${words} ${level}`, "eras");
    return text("logged");
  });
  tool("grow", { name: z.string() }, async ({ name }) => {
    grown.add(name);
    modern.notify.toolsChanged();
    // A tool that is added is told of to the session by its server.
    for (const session of sessions.values()) grow(session.server, name);
    return text("grown");
  });
  tool("touch", { uri: z.string() }, async ({ uri }) => {
    modern.notify.resourceUpdated(uri);
    for (const { server, uris } of sessions.values()) {
      if (uris.has(uri)) await server.server.sendResourceUpdated({ uri });
    }
    return text("touched");
  });
  tool("hang", { name: z.string() }, async ({ name }, { mcpReq }) => {
    await notify(mcpReq, "notifications/progress", { progress: 0, total: 1, message: "begun" });
    await new Promise((resolve) => mcpReq.signal.addEventListener("abort", resolve));
    cancelled.add(name);
    return text("never");
  });
  tool("was_cancelled", { name: z.string() }, async ({ name }) => text(`cancelled ${cancelled.has(name) ? "True" : "False"}`));
  for (const name of grown) grow(server, name);

  server.registerPrompt("greet", { argsSchema: z.object({ name: z.string() }) }, ({ name }) => ({
    messages: [{ role: "user", content: { type: "text", text: `Say hello to ${name}.` } }],
  }));
  server.registerResource("note", new ResourceTemplate("note://{name}", { list: undefined }), {}, (uri, { name }) => ({
    contents: [{ uri: uri.href, text: `A note of ${name}.` }],
  }));
  return server;
}

function grow(server, name) {
  server.registerTool(name, { inputSchema: z.object({}) }, async () => text(name));
}

async function notify(mcpReq, method, params) {
  const { progressToken } = mcpReq._meta ?? {};
  if (progressToken !== undefined) await mcpReq.notify({ method, params: { progressToken, ...params } });
}

const modern = createMcpHandler(build, { legacy: "reject" });

// legacy serves sessions.
async function legacy(request) {
  const known = sessions.get(request.headers.get("mcp-session-id"));
  if (known) return known.transport.handleRequest(request);
  if (request.headers.has("mcp-session-id")) return new Response("no such session", { status: 404 });
  const uris = new Set();
  const server = build();
  server.server.setRequestHandler("resources/subscribe", async ({ params }) => (uris.add(params.uri), {}));
  server.server.setRequestHandler("resources/unsubscribe", async ({ params }) => (uris.delete(params.uri), {}));
  const transport = new WebStandardStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => sessions.set(id, { server, transport, uris }),
    onsessionclosed: (id) => sessions.delete(id),
  });
  await server.connect(transport);
  return transport.handleRequest(request);
}

async function serve(request) {
  if (era === "modern") return modern.fetch(request);
  if (era === "legacy" || (await isLegacyRequest(request))) return legacy(request);
  return modern.fetch(request);
}

createServer(async (incoming, outgoing) => {
  const left = new AbortController();
  outgoing.on("close", () => left.abort());
  const request = new Request(`http://127.0.0.1:${port}${incoming.url}`, {
    method: incoming.method,
    headers: Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
    body: incoming.method === "POST" ? Readable.toWeb(incoming) : undefined,
    duplex: "half",
    signal: left.signal,
  });
  try {
    const response = await serve(request);
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.flushHeaders();
    if (response.body) Readable.fromWeb(response.body).on("error", () => outgoing.destroy()).pipe(outgoing);
    else outgoing.end();
  } catch (error) {
    console.error(error);
    outgoing.destroy();
  }
}).listen(Number(port), "127.0.0.1");
