"""Runs a list of steps against an MCP endpoint with the official Python SDK and
prints one JSON document of what the SDK handed to its user.

    python client.py URL '[{"do":"tools/list"},{"do":"tools/call","name":"add"}]' [MODE] [TRANSPORT] [OPTIONS]

Input and output are those of ../ts/client.mjs. MODE is the SDK's connect mode:
"auto" (probe for the newest revision, then fall back) unless given, "legacy", or
a revision.
TRANSPORT is "http" unless given, or "sse": HTTP+SSE, to the URL of the stream.
"""

import asyncio
import contextlib
import json
import sys

import anyio
import mcp
import mcp.client.sse
import mcp_types as types
from pydantic import TypeAdapter

PATIENCE = 10  # seconds
REFERENCE = TypeAdapter(types.PromptReference | types.ResourceTemplateReference)


def plain(value):
    """A model of the SDK as JSON data, in the protocol's own spelling."""
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    return value.model_dump(mode="json", by_alias=True, exclude_none=True)


class Answers:
    """Answers what servers ask, as OPTIONS say."""

    def __init__(self, answers=None, atOnce=0, delay=0):  # noqa: N803 as in JSON
        self.answers = answers or {}
        self.at_once = atOnce
        self.delay = delay / 1000
        self.requests = []
        self.held = []

    async def turn(self):
        mine = len(self.requests)
        if mine > self.at_once:
            return
        gate = anyio.Event()
        self.held.append(gate)
        if mine == self.at_once:
            self.held.pop().set()
        await gate.wait()
        # The one before this one goes when this one's answer is on its way.
        asyncio.get_running_loop().call_later(
            0.02, lambda: self.held and self.held.pop().set()
        )

    async def answer(self, method, params, kind):
        asked = plain(params)
        self.requests.append({"method": method, "params": asked})
        await self.turn()
        await anyio.sleep(self.delay)
        how = self.answers[method]
        if "error" in how:
            return types.ErrorData(**how["error"])
        messages = asked.get("messages", [{}])
        text = asked.get("message", messages[0].get("content", {}).get("text", ""))
        escaped = json.dumps(text)[1:-1]
        return kind.model_validate_json(
            json.dumps(how["result"]).replace("$TEXT", escaped)
        )

    def callbacks(self):
        """What the client declares is what it has answers for."""

        async def sample(_, params):
            return await self.answer(
                "sampling/createMessage", params, types.CreateMessageResult
            )

        async def elicit(_, params):
            return await self.answer("elicitation/create", params, types.ElicitResult)

        async def roots(_):
            return await self.answer("roots/list", None, types.ListRootsResult)

        known = {
            "sampling/createMessage": ("sampling_callback", sample),
            "elicitation/create": ("elicitation_callback", elicit),
            "roots/list": ("list_roots_callback", roots),
        }
        return dict(known[method] for method in self.answers)


class Session:
    def __init__(self, client, stack, answers, notifications, arrived):
        self.client = client
        self.stack = stack
        self.answers = answers
        self.notifications = notifications
        self.arrived = arrived

    async def wait_for(self, condition):
        """Asks after each notification and twice a second."""
        with anyio.fail_after(PATIENCE):
            while not await condition():
                self.arrived.clear()
                with anyio.move_on_after(0.5):
                    await self.arrived.wait()

    async def wait(self, method, text=""):
        async def condition():
            return any(
                n["method"] == method and text in json.dumps(n["params"])
                for n in self.notifications
            )

        await self.wait_for(condition)

    async def listen(self, tools=False, uris=()):
        """Keeps a subscription open as long as the client."""
        subscription = await self.stack.enter_async_context(
            self.client.listen(tools_list_changed=tools, resource_subscriptions=uris)
        )
        return subscription.honored

    async def call(
        self, step, name, arguments=None, cancel=False, until=None, timeout=30_000, meta=None
    ):
        scope = anyio.CancelScope()
        result = None

        async def on_progress(done, total, message):
            step["progress"].append({"progress": done, "total": total, "message": message})
            if cancel:
                scope.cancel()

        async def ask():
            nonlocal result
            step["progress"] = []
            result = await self.client.call_tool(
                name,
                arguments,
                read_timeout_seconds=timeout / 1000,
                progress_callback=on_progress,
                meta=meta,
            )
            return until is None or until in json.dumps(plain(result))

        with scope:
            if until is None:
                await ask()
            else:
                await self.wait_for(ask)
        if scope.cancelled_caught:
            raise mcp.MCPError(code=-32001, message="given up")
        return result

    async def together(self, steps):
        done = [None] * len(steps)

        async def one(i):
            done[i] = await self.record(steps[i])

        async with anyio.create_task_group() as group:
            for i in range(len(steps)):
                group.start_soon(one, i)
        return {"steps": done}

    async def tools(self, until=""):
        result = None

        async def ask():
            nonlocal result
            result = await self.client.list_tools(cache_mode="bypass")
            return until in json.dumps(plain(result))

        await self.wait_for(ask)
        return result

    async def all_tools(self, step):
        step["pages"], tools, cursor = 0, [], None
        while step["pages"] == 0 or cursor is not None:
            page = await self.client.list_tools(cursor=cursor, cache_mode="bypass")
            step["pages"], cursor = step["pages"] + 1, page.next_cursor
            tools += page.tools
        page.tools = tools
        return page

    async def run(self, method, params, step):
        client = self.client
        match method:
            case "ping":
                return await client.session.send_ping()
            case "wait":
                return await self.wait(**params)
            case "roots":
                self.answers.answers["roots/list"]["result"]["roots"] = params["roots"]
                return await client.session.send_roots_list_changed()
            case "together":
                return await self.together(**params)
            case "tools/list":
                return await self.tools(**params)
            case "tools/list/pages":
                return await self.all_tools(step)
            case "tools/call":
                return await self.call(step, **params)
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
            case "resources/subscribe":
                return await client.session.subscribe_resource(params["uri"])
            case "resources/unsubscribe":
                return await client.session.unsubscribe_resource(params["uri"])
            case "completion/complete":
                return await client.session.complete(
                    REFERENCE.validate_python(params["ref"]),
                    params["argument"],
                    params.get("context", {}).get("arguments"),
                )
            case "listen":
                return await self.listen(**params)
            case "logging/setLevel":
                return await client.session.set_logging_level(params["level"])
            case _:
                raise ValueError(f"unknown step {method}")

    async def record(self, description):
        description = dict(description)
        method = description.pop("do")
        step = {}
        try:
            step["result"] = plain(await self.run(method, description, step))
        except mcp.MCPError as error:
            step["error"] = {"code": error.error.code, "message": error.error.message}
        except TimeoutError:
            step["error"] = {"code": 0, "message": f"no end of {method} {description} within {PATIENCE} s"}
        return step


async def main(target, steps, options, mode):
    notifications = []
    arrived = asyncio.Event()
    answers = Answers(**options)

    async def on_message(message):
        message = plain(getattr(message, "root", message))
        if "method" in message and message["method"] != "notifications/progress":
            notifications.append({"method": message["method"], "params": message.get("params", {})})
            arrived.set()

    output = {}
    try:
        async with (
            mcp.Client(
                target, mode=mode, message_handler=on_message, **answers.callbacks()
            ) as client,
            contextlib.AsyncExitStack() as stack,
        ):
            output |= {
                "initialize": {
                    "protocolVersion": client.protocol_version,
                    "serverInfo": plain(client.server_info),
                    "capabilities": plain(client.server_capabilities),
                    "instructions": client.instructions,
                },
                "steps": [],
                "notifications": notifications,
                "requests": answers.requests,
            }
            session = Session(client, stack, answers, notifications, arrived)
            for description in steps:
                output["steps"].append(await session.record(description))
    except* (anyio.BrokenResourceError, anyio.ClosedResourceError):
        # The SDK hands a message that arrives while it closes to a stream that
        # nobody reads any more.
        if len(output.get("steps", [])) < len(steps):
            raise
    output["listChanged"] = [
        n["method"] for n in notifications if n["method"].endswith("/list_changed")
    ]
    print(json.dumps(output, separators=(",", ":")))


if __name__ == "__main__":
    target, steps = sys.argv[1], json.loads(sys.argv[2])
    mode = sys.argv[3] if len(sys.argv) > 3 else "auto"
    if sys.argv[4:5] == ["sse"]:
        target = mcp.client.sse.sse_client(target)
    options = json.loads(sys.argv[5]) if len(sys.argv) > 5 else {}
    asyncio.run(main(target, steps, options, mode))
