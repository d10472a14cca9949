"""A server of the official Python SDK whose tools are the same in both eras of the
protocol: before 2026-07-28 it asks its client with requests, since then with
results that require input.

    python eras.py PORT ERA

serves http://127.0.0.1:PORT/mcp. ERA is "legacy", which knows no revision since
2026-07-28, "modern", which knows no other, or "both". The tools are those of
../ts/eras.mjs.
"""

import asyncio
import json
import sys
from typing import Annotated

import anyio
import mcp_types as types
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from pydantic import BaseModel

REVISION = "2026-07-28"

sessions = {}  # by id
subscriptions: dict[str, set[str]] = {}  # ids of sessions by URI
levels: dict[str, str] = {}  # by id of session
cancelled: list[str] = []


def session_id(ctx) -> str | None:
    return ctx.request.headers.get("mcp-session-id")


async def remember_sessions(ctx, call_next):
    """Keeps every session, to tell it of changes."""
    if session_id(ctx):
        sessions[session_id(ctx)] = ctx.session
    return await call_next(ctx)


async def tell(ids, notify):
    for id in list(ids):
        try:
            await notify(sessions[id])
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            del sessions[id]


server = MCPServer("eras", version="1.0.0", middleware=[remember_sessions])


class Name(BaseModel):
    name: str


class Sum(BaseModel):
    sum: int


async def user(message: str) -> Elicit[Name]:
    return Elicit(message, Name)


async def model(prompt: str) -> Sample:
    content = types.TextContent(type="text", text=prompt)
    return Sample([types.SamplingMessage(role="user", content=content)], max_tokens=10)


async def roots() -> ListRoots:
    return ListRoots()


@server.tool()
async def echo(text: str) -> str:
    return f"echo {text}"


@server.tool()
async def add(a: int, b: int) -> Sum:
    return Sum(sum=a + b)


@server.tool()
async def fail() -> str:
    raise ToolError("out of order")


@server.tool()
async def count(to: int, ctx: Context) -> str:
    for i in range(to):
        await ctx.report_progress(i + 1, to, f"step {i + 1}")
    return f"counted to {to}"


@server.tool()
async def ask_user(message: str, answer: Annotated[Name, Resolve(user)]) -> str:
    return f"the user says {answer.name}"


@server.tool()
async def ask_model(
    prompt: str, answer: Annotated[types.CreateMessageResult, Resolve(model)]
) -> str:
    return f"the model says {answer.content.text}"


@server.tool()
async def ask_roots(answer: Annotated[types.ListRootsResult, Resolve(roots)]) -> str:
    return "roots " + " ".join(str(root.uri) for root in answer.roots)


@server.tool()
async def log(text: str, ctx: Context) -> str:
    silent = levels.get(session_id(ctx.request_context)) == "error"
    for level in ("error",) if silent else ("debug", "error"):
        await ctx.log(level, f"{text} {level}", logger_name="eras")
    return "logged"


@server.tool()
async def grow(name: str, ctx: Context) -> str:
    """Has one tool more, and tells of it."""

    async def grown() -> str:
        return name

    server.add_tool(grown, name=name)
    await ctx.notify_tools_changed()
    await tell(sessions, lambda session: session.send_tool_list_changed())
    return "grown"


@server.tool()
async def touch(uri: str, ctx: Context) -> str:
    """Tells of a change of the resource whoever subscribed to it."""
    await ctx.notify_resource_updated(uri)
    subscribed = subscriptions.get(uri, set()) & sessions.keys()
    await tell(subscribed, lambda session: session.send_resource_updated(uri))
    return "touched"


@server.tool()
async def hang(name: str, ctx: Context) -> str:
    """Says that it has begun and ends only when it is cancelled."""
    try:
        await ctx.report_progress(0, 1, "begun")
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        cancelled.append(name)
        raise
    return "never"


@server.tool()
async def was_cancelled(name: str) -> str:
    return f"cancelled {name in cancelled}"


@server.prompt()
async def greet(name: str) -> str:
    return f"Say hello to {name}."


@server.resource("note://{name}")
async def note(name: str) -> str:
    return f"A note of {name}."


async def set_level(ctx, params):
    levels[session_id(ctx)] = params.level
    return types.EmptyResult()


async def subscribe(ctx, params):
    subscriptions.setdefault(str(params.uri), set()).add(session_id(ctx))
    return types.EmptyResult()


async def unsubscribe(ctx, params):
    subscriptions.get(str(params.uri), set()).discard(session_id(ctx))
    return types.EmptyResult()


for method, params, handler in (
    ("logging/setLevel", types.SetLevelRequestParams, set_level),
    ("resources/subscribe", types.SubscribeRequestParams, subscribe),
    ("resources/unsubscribe", types.UnsubscribeRequestParams, unsubscribe),
):
    server._lowlevel_server.add_request_handler(method, params, handler)


def only(era, app):
    """The application without the other era, as a server that never had it."""

    async def refuse(send, status, error):
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def serve(scope, receive, send):
        if scope["type"] != "http":
            return await app(scope, receive, send)
        version = dict(scope["headers"]).get(b"mcp-protocol-version", b"").decode()
        if era == "legacy" and version >= REVISION:
            message = f"Bad Request: Unsupported protocol version: {version}"
            return await refuse(send, 400, {"code": -32600, "message": message})
        if era == "modern" and scope["method"] != "POST":
            return await refuse(send, 405, {"code": -32600, "message": "Method Not Allowed"})
        if era == "modern" and version < REVISION:
            data = {"supported": [REVISION], "requested": version}
            message = "Unsupported protocol version"
            return await refuse(send, 400, {"code": -32022, "message": message, "data": data})
        return await app(scope, receive, send)

    return serve


if __name__ == "__main__":
    application = only(sys.argv[2], server.streamable_http_app())
    config = uvicorn.Config(
        application, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", timeout_graceful_shutdown=1
    )
    asyncio.run(uvicorn.Server(config).serve())
