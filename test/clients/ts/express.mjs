// A server of version 1 of the official TypeScript SDK in the form that its
// documentation shows: Express reads the body, JSON.parse takes the last of two equal
// keys. It writes each call that it makes to stdout, one JSON object a line.
//
//   node express.mjs PORT
//
// serves http://127.0.0.1:PORT/mcp, without sessions.
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js";
import { McpServer, ResourceTemplate } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import * as z from "zod";

const saw = (kind, name, given) => console.log(JSON.stringify({ kind, name, given }));
const text = (words) => ({ content: [{ type: "text", text: words }] });

function build() {
  const server = new McpServer({ name: "express", version: "1.0.0" });
  for (const name of ["echo", "other"]) {
    server.registerTool(name, { inputSchema: z.looseObject({ text: z.string().optional() }) }, async (given) => {
      saw("tool", name, given);
      return text(`${name} ${given.text}`);
    });
    server.registerPrompt(name, { argsSchema: { text: z.string().optional() } }, async (given) => {
      saw("prompt", name, given);
      return { messages: [{ role: "user", content: { type: "text", text: name } }] };
    });
  }
  server.registerResource("note", new ResourceTemplate("note://{name}", { list: undefined }), {}, async (uri, given) => {
    saw("resource", uri.href, given);
    return { contents: [{ uri: uri.href, text: "a note" }] };
  });
  return server;
}

const app = createMcpExpressApp();
app.post("/mcp", async (req, res) => {
  const server = build();
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
  res.on("close", () => {
    transport.close();
    server.close();
  });
  await server.connect(transport);
  await transport.handleRequest(req, res, req.body);
});
app.all("/mcp", (_, res) => res.status(405).set("Allow", "POST").end());
app.listen(Number(process.argv[2]), "127.0.0.1");
