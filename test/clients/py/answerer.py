"""Calls tools of asker.py through an MCP endpoint, all at once, with a client of
the official Python SDK that answers what it is asked. Prints one JSON object: the
text of each tool's result, and how often it was asked.

    python answerer.py URL PREFIX...
"""

import asyncio
import json
import sys

import mcp
from mcp import types


async def main(url, prefixes):
    asked = {"elicit": 0, "sample": 0, "roots": 0}

    async def on_elicit(context, params):
        asked["elicit"] += 1
        return types.ElicitResult(action="accept", content={"name": "Ann"})

    async def on_sample(context, params):
        asked["sample"] += 1
        text = params.messages[0].content.text.upper()
        return types.CreateMessageResult(role="assistant", content=types.TextContent(type="text", text=text), model="none")

    async def on_roots(context):
        asked["roots"] += 1
        return types.ListRootsResult(roots=[types.Root(uri="file:///home/ann")])

    results = {}

    async def call(client, name, arguments):
        answer = await client.call_tool(name, arguments, read_timeout_seconds=20)
        results[name] = answer.content[0].text

    async with mcp.Client(
        url, mode="legacy", elicitation_callback=on_elicit, sampling_callback=on_sample, list_roots_callback=on_roots
    ) as client:
        await client.list_tools()
        await asyncio.gather(
            *(
                call(client, prefix + name, {"prompt": prefix} if name == "sample" else {})
                for prefix in prefixes
                for name in asked
            )
        )
    print(json.dumps({"results": results, "asked": asked}))


asyncio.run(asyncio.wait_for(main(sys.argv[1], sys.argv[2:]), 40))
