"""An MCP server of the official Python SDK whose tools ask their client.

    python asker.py PORT
"""

import sys

from pydantic import BaseModel

from mcp import types
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("asker", log_level="ERROR")


class Name(BaseModel):
    name: str


@server.tool()
async def elicit(ctx: Context) -> str:
    await ctx.report_progress(1, 2)
    answer = await ctx.elicit("who are you?", Name)
    return f"{answer.action} {answer.data.name}"


@server.tool()
async def sample(ctx: Context, prompt: str) -> str:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    answer = await ctx.session.create_message(messages=[message], max_tokens=5, related_request_id=ctx.request_id)
    return answer.content.text


@server.tool()
async def roots(ctx: Context) -> str:
    """Asks on the server's own stream and not on that of the call."""
    return str((await ctx.session.list_roots()).roots[0].uri)


server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
