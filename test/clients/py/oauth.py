"""Walks the whole way of a client that knows nothing but the endpoint's URL, with the
official Python SDK: refused, it finds the authorization server, registers, sends its
user there, comes back with a code, gets a token and calls. A tool that wants more
scopes sends it there once more.

    python oauth.py URL '[{"do":"tools/call","name":"add","arguments":{}}]' [MODE] [USER]

MODE is the SDK's connect mode: "auto" unless given, "legacy", or a revision. Prints
what ../ts/oauth.mjs does.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
import mcp
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

REDIRECT = "http://127.0.0.1:1/callback"  # nobody listens: the code is taken from the address
HOPS = 20


class Storage(TokenStorage):
    def __init__(self):
        self.tokens = None
        self.information = None
        self.registered = 0

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.information

    async def set_client_info(self, client_info):
        self.registered += 1
        self.information = client_info


def parameters(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


class User:
    """Follows redirects with cookies, as a browser does, up to the code."""

    def __init__(self, name):
        self.name = name
        self.asked = []
        self.resources = []
        self.back = None

    async def send(self, url):
        sent = parameters(url)
        self.asked.append(sent.get("scope"))
        self.resources.append(sent.get("resource"))
        async with httpx2.AsyncClient() as browser:
            at = httpx2.URL(url).copy_merge_params({"login_hint": self.name})
            for _ in range(HOPS):
                answer = await browser.get(at, follow_redirects=False)
                if "location" not in answer.headers:
                    raise RuntimeError(f"no redirect from {at}: {answer.status_code} {answer.text}")
                at = at.join(answer.headers["location"])
                if str(at).startswith(REDIRECT):
                    self.back = parameters(str(at))
                    return
        raise RuntimeError("too many redirects")

    async def returned(self):
        return AuthorizationCodeResult(
            code=self.back["code"], state=self.back.get("state"), iss=self.back.get("iss")
        )


async def record(client, description):
    description = dict(description)
    try:
        match description.pop("do"):
            case "tools/list":
                result = await client.list_tools(cache_mode="bypass")
            case "tools/call":
                result = await client.call_tool(**description)
    except mcp.MCPError as error:
        return {"error": {"code": error.error.code, "message": error.error.message}}
    return {"result": result.model_dump(mode="json", by_alias=True, exclude_none=True)}


async def main(url, steps, mode, name):
    storage, user = Storage(), User(name)
    provider = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(
            client_name="test-client-py",
            redirect_uris=[REDIRECT],
            grant_types=["authorization_code"],
            token_endpoint_auth_method="none",
        ),
        storage=storage,
        redirect_handler=user.send,
        callback_handler=user.returned,
    )
    async with (
        create_mcp_http_client(auth=provider) as http,
        mcp.Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        done = [await record(client, description) for description in steps]
    scope = storage.tokens.scope if storage.tokens else None
    print(
        json.dumps(
            {
                "steps": done,
                "asked": user.asked,
                "resources": user.resources,
                "registered": storage.registered,
                "scope": scope,
            }
        )
    )


if __name__ == "__main__":
    mode = sys.argv[3] if len(sys.argv) > 3 else "auto"
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), mode, sys.argv[4] if len(sys.argv) > 4 else "ada"))
