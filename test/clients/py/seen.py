"""A server of the official Python SDK that writes each call that it makes to stdout,
one JSON object a line. Its tools, prompts and resources are those of
../ts/express.mjs.

    python seen.py PORT

serves http://127.0.0.1:PORT/mcp, without sessions.
"""

import json
import sys

from mcp.server.mcpserver import MCPServer

server = MCPServer("seen", version="1.0.0", log_level="ERROR")


def saw(kind: str, name: str, **given) -> None:
    print(json.dumps({"kind": kind, "name": name, "given": given}), flush=True)


def offer(name: str) -> None:
    async def tool(text: str = "") -> str:
        saw("tool", name, text=text)
        return f"{name} {text}"

    async def prompt(text: str = "") -> str:
        saw("prompt", name, text=text)
        return name

    server.add_tool(tool, name=name)
    server.prompt(name)(prompt)


offer("echo")
offer("other")


@server.resource("note://{name}")
async def note(name: str) -> str:
    saw("resource", f"note://{name}")
    return "a note"


if __name__ == "__main__":
    server.run(
        "streamable-http",
        host="127.0.0.1",
        port=int(sys.argv[1]),
        stateless_http=True,
        json_response=True,
    )
