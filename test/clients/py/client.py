"""Runs a list of steps against an MCP endpoint with the official Python SDK and
prints one JSON document of what the SDK handed to its user.

    python client.py URL '[{"do":"tools/list"},{"do":"tools/call","name":"add"}]' [MODE] [sse]

Input and output are those of ../ts/client.mjs. MODE is the SDK's connect mode:
"auto" (probe for the newest revision, then fall back) unless given, or "legacy".
With "sse" the client speaks HTTP+SSE, to the URL of the stream.
"""

import asyncio
import json
import sys

import mcp
import mcp.client.sse


class Session:
    def __init__(self, client, changed, arrived):
        self.client = client
        self.changed = changed
        self.arrived = arrived

    async def wait(self, method):
        async with asyncio.timeout(10):
            while method not in self.changed:
                self.arrived.clear()
                await self.arrived.wait()
        return None

    async def call(self, params, step):
        progress = step["progress"] = []

        async def on_progress(done, total, message):
            progress.append({"progress": done, "total": total, "message": message})

        return await self.client.call_tool(
            params["name"],
            params.get("arguments"),
            read_timeout_seconds=30,
            progress_callback=on_progress,
        )

    async def run(self, method, params, step):
        client = self.client
        match method:
            case "ping":
                return await client.session.send_ping()
            case "wait":
                return await self.wait(params["method"])
            case "tools/list":
                return await client.list_tools(cache_mode="bypass")
            case "tools/call":
                return await self.call(params, step)
            case "prompts/list":
                return await client.list_prompts(cache_mode="bypass")
            case "prompts/get":
                return await client.get_prompt(params["name"], params.get("arguments"))
            case "resources/list":
                return await client.list_resources(cache_mode="bypass")
            case "resources/templates/list":
                return await client.list_resource_templates(cache_mode="bypass")
            case "resources/read":
                return await client.read_resource(params["uri"], cache_mode="bypass")
            case _:
                raise ValueError(f"unknown step {method}")


def plain(value):
    """A model of the SDK as JSON data, in the protocol's own spelling."""
    if value is None:
        return {}
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


async def main(target, steps, mode):
    changed = []
    arrived = asyncio.Event()

    async def on_message(message):
        method = getattr(getattr(message, "root", message), "method", "")
        if method.endswith("/list_changed"):
            changed.append(method)
            arrived.set()

    async with mcp.Client(target, mode=mode, message_handler=on_message) as client:
        output = {
            "initialize": {
                "protocolVersion": client.protocol_version,
                "serverInfo": plain(client.server_info),
                "capabilities": plain(client.server_capabilities),
                "instructions": client.instructions,
            },
            "steps": [],
            "listChanged": changed,
        }
        session = Session(client, changed, arrived)
        for description in steps:
            method = description.pop("do")
            step = {}
            try:
                step["result"] = plain(await session.run(method, description, step))
            except mcp.MCPError as error:
                step["error"] = {"code": error.error.code, "message": error.error.message}
            output["steps"].append(step)
    print(json.dumps(output))


if __name__ == "__main__":
    target, steps = sys.argv[1], json.loads(sys.argv[2])
    if sys.argv[4:] == ["sse"]:
        target = mcp.client.sse.sse_client(target)
    mode = sys.argv[3] if len(sys.argv) > 3 else "auto"
    asyncio.run(main(target, steps, mode))
