"""Routes of the web console's files, which are no part of the REST API. They hold no secret, so that anybody gets them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from headrace.common.contracts.problems import NotFound
from headrace.manager.console_files import ConsoleFiles
from headrace.manager.domain.console_answers import PREFIX, Answer, Asked, answer, unbuilt

_NONCE_BYTES: Final = 18


@dataclass(frozen=True)
class WebConsole:
    """The console's files, and where its page may send chats besides the managers."""

    files: ConsoleFiles
    chat_origins: Sequence[str] = ()


def add_routes(app: web.Application, console: WebConsole) -> None:
    """Add the routes to the application: `/console/` and all below it; `/` leads there."""

    async def lead(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": PREFIX})

    async def serve(request: web.Request) -> web.Response:
        asked = Asked(
            request.match_info["path"],
            request.headers.get("Accept-Encoding"),
            request.headers.get("If-None-Match"),
        )
        made = await _answer(console, asked)
        return web.Response(status=made.status, headers=made.headers, body=made.body)

    app.router.add_get("/", lead)
    app.router.add_get(PREFIX.rstrip("/"), lead)
    app.router.add_get(PREFIX + "{path:.*}", serve)


async def _answer(console: WebConsole, asked: Asked) -> Answer:
    built = await console.files.built()
    if built is None:
        if console.files.soon:
            return unbuilt(
                why="Its files are not there: `make console` builds them in a checkout of Headrace.", soon=True
            )
        return unbuilt(why="This manager was installed without it.", soon=False)
    made = answer(built, asked, nonce=secrets.token_urlsafe(_NONCE_BYTES), chat_origins=console.chat_origins)
    if made is None:
        raise NotFound("the web console has no such asset now: it may have been updated; reload the page")
    return made
