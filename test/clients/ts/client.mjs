// Runs a list of steps against an MCP endpoint with the official TypeScript SDK
// and prints one JSON document of what the SDK handed to its user.
//
//   node client.mjs URL '[{"do":"tools/list"},{"do":"tools/call","name":"add","arguments":{"a":1}}]'
//
// Output: {"initialize":{...},"steps":[{"result":...}|{"error":{"code","message"}}, ...],
// "listChanged":[methods]}. A step of tools/call also has "progress", one entry
// for each notification that arrived before the result. {"do":"wait","method":M}
// waits until the notification M has arrived, at most 10 s. With a third argument
// "sse" the client speaks HTTP+SSE, to the URL of the stream.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  PromptListChangedNotificationSchema,
  ResourceListChangedNotificationSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";

const [url, stepsText = "[]", transportName = "http"] = process.argv.slice(2);
const client = new Client({ name: "test-client-ts", version: "1.0.0" });
const transport =
  transportName === "sse" ? new SSEClientTransport(new URL(url)) : new StreamableHTTPClientTransport(new URL(url));

const listChanged = [];
let wake = () => {};
for (const schema of [
  ToolListChangedNotificationSchema,
  PromptListChangedNotificationSchema,
  ResourceListChangedNotificationSchema,
]) {
  client.setNotificationHandler(schema, ({ method }) => {
    listChanged.push(method);
    wake();
  });
}

async function waitFor(method) {
  const deadline = Date.now() + 10_000;
  while (!listChanged.includes(method)) {
    const left = deadline - Date.now();
    if (left <= 0) throw new Error(`no ${method} within 10 s`);
    let timer;
    await new Promise((resolve) => {
      wake = resolve;
      timer = setTimeout(resolve, left);
    });
    clearTimeout(timer);
  }
  return {};
}

async function run({ do: method, ...params }, step) {
  switch (method) {
    case "ping":
      return client.ping();
    case "wait":
      return waitFor(params.method);
    case "tools/list":
      return client.listTools();
    case "tools/call":
      step.progress = [];
      return client.callTool(params, undefined, {
        timeout: 30_000,
        resetTimeoutOnProgress: true,
        onprogress: (progress) => step.progress.push(progress),
      });
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
    default:
      throw new Error(`unknown step ${method}`);
  }
}

await client.connect(transport);
const output = {
  initialize: {
    protocolVersion: transport.protocolVersion ?? transport._protocolVersion,
    serverInfo: client.getServerVersion(),
    capabilities: client.getServerCapabilities(),
    instructions: client.getInstructions(),
    hasSession: Boolean(transport.sessionId),
  },
  steps: [],
  listChanged,
};
for (const description of JSON.parse(stepsText)) {
  const step = {};
  try {
    step.result = await run(description, step);
  } catch (error) {
    step.error = { code: error.code ?? 0, message: String(error.message) };
  }
  output.steps.push(step);
}
await transport.terminateSession?.();
await client.close();
console.log(JSON.stringify(output));
