"""A server of the official Python SDK that uses what the protocol lets a server
do: it asks the client, logs, reports progress, notices cancellation, completes and
keeps subscriptions.

    python server.py PORT

serves http://127.0.0.1:PORT/mcp. Its requests for a model or the user travel on
the stream of the call, its requests for roots on the session's own stream.
"""

import json
import sys

import anyio
import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

server = MCPServer("python", instructions="Ask before you leap.", version="1.0.0")
levels: dict[str, str] = {}
subscriptions: dict[str, set[str]] = {}
cancelled: list[str] = []


class Name(BaseModel):
    name: str


def session_id(ctx) -> str:
    """The id of the client's session: what the server keeps for it hangs on it."""
    return ctx.request.headers["mcp-session-id"]


@server.tool()
async def ask_model(prompt: str, ctx: Context) -> str:
    message = types.SamplingMessage(
        role="user", content=types.TextContent(type="text", text=prompt)
    )
    result = await ctx.session.create_message(
        [message], max_tokens=10, related_request_id=ctx.request_id
    )
    return f"the model says {result.content.text}"


@server.tool()
async def ask_user(message: str, ctx: Context) -> str:
    result = await ctx.elicit(message, Name)
    return f"the user says {result.action} {getattr(result, 'data', None) and result.data.name}"


@server.tool()
async def ask_roots(ctx: Context) -> str:
    result = await ctx.session.list_roots()
    return "roots " + " ".join(str(root.uri) for root in result.roots)


@server.tool()
async def capabilities(ctx: Context) -> str:
    """What the client declared, as this server was told."""
    declared = ctx.client_capabilities
    return json.dumps(declared.model_dump(by_alias=True, exclude_none=True))


@server.tool()
async def count(to: int, ctx: Context) -> str:
    for i in range(to):
        await ctx.report_progress(i + 1, to, f"step {i + 1}")
    return f"counted to {to}"


@server.tool()
async def log(text: str, ctx: Context) -> str:
    for level in ("debug", "info", "error"):
        await ctx.log(level, f"{text} {level}", logger_name="python")
    return "logged"


@server.tool()
async def level(ctx: Context) -> str:
    """The level that was set for this session."""
    return levels.get(session_id(ctx.request_context), "none")


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
async def was_cancelled(name: str) -> bool:
    return name in cancelled


@server.tool(annotations=types.ToolAnnotations(read_only_hint=True, title="A link"))
async def link(name: str) -> list[types.ResourceLink]:
    return [types.ResourceLink(type="resource_link", uri=f"note://{name}", name=name)]


@server.tool()
async def touch(uri: str, ctx: Context) -> str:
    """Tells of a change of the resource, if the session subscribed to it."""
    known = uri in subscriptions.get(session_id(ctx.request_context), set())
    if known:
        await ctx.session.send_resource_updated(uri)
    return "told" if known else "not subscribed"


@server.prompt()
async def greet(name: str) -> str:
    return f"Say hello to {name}."


@server.resource("note://{name}")
async def note(name: str) -> str:
    return f"A note of {name}."


@server.completion()
async def complete(ref, argument, context):
    kind = "prompt" if isinstance(ref, types.PromptReference) else "template"
    known = getattr(ref, "name", None) or getattr(ref, "uri", None)
    before = ",".join((context and context.arguments or {}).values())
    return types.Completion(values=[kind, known, argument.name, argument.value, before])


async def set_level(ctx, params):
    levels[session_id(ctx)] = params.level
    return types.EmptyResult()


async def subscribe(ctx, params):
    subscriptions.setdefault(session_id(ctx), set()).add(str(params.uri))
    return types.EmptyResult()


async def unsubscribe(ctx, params):
    subscriptions.get(session_id(ctx), set()).discard(str(params.uri))
    return types.EmptyResult()


for method, params, handler in (
    ("logging/setLevel", types.SetLevelRequestParams, set_level),
    ("resources/subscribe", types.SubscribeRequestParams, subscribe),
    ("resources/unsubscribe", types.UnsubscribeRequestParams, unsubscribe),
):
    server._lowlevel_server.add_request_handler(method, params, handler)

if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
