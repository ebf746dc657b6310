"""Routes for machines that join. No API key: the credential is a join token, or the machine's own key."""

from __future__ import annotations

import asyncio
import html

from aiohttp import web

from headrace.common.contracts.http.joining import Identity, Join, Joined, RenewIdentity
from headrace.common.contracts.problems import (
    Conflict,
    Forbidden,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from headrace.manager.api.routing import Call, Reply, Routes, json_reply

routes = Routes("operation")


@routes.on(
    "POST",
    "/v1/join",
    body=Join,
    public=True,
    replies={200: Reply("What the machine needs.", Joined)},
    problems=(Unauthenticated, Conflict, TooManyRequests, Unavailable),
)
async def join(call: Call) -> web.Response:
    """Join with a join token: the machine's key is signed for exactly its subjects on the bus, until it ends.

    The same request, repeated, takes no further use of the token.
    """
    return json_reply(await call.use.joining.join(call.body(Join), call.request.remote or ""))


@routes.on(
    "POST",
    "/v1/join/renew",
    body=RenewIdentity,
    public=True,
    replies={200: Reply("The identity, signed anew.", Identity)},
    problems=(Unauthenticated, Forbidden, NotFound, Conflict, TooManyRequests, Unavailable),
)
async def renew_identity(call: Call) -> web.Response:
    """Renew an identity on the bus, for the owner of its key; 403 when it was revoked, with who did it, when and why."""
    return json_reply(await call.use.joining.renew(call.body(RenewIdentity), call.request.remote or ""))


@routes.on(
    "GET",
    "/v1/join/ca.crt",
    public=True,
    replies={200: Reply("Certificates (PEM).", media_type="application/x-pem-file")},
    problems=(NotFound, Unavailable),
)
async def show_authority(call: Call) -> web.Response:
    """Return the certificates of the authorities by which machines verify the servers. A caller compares their fingerprint."""
    content = await asyncio.to_thread(call.use.joining.installation.ca)
    if content is None:
        raise NotFound("this installation has no certificate authority of its own; the system's are used")
    return web.Response(body=content, content_type="application/x-pem-file")


@routes.on(
    "GET",
    "/v1/join/join.sh",
    public=True,
    replies={200: Reply("A shell script.", media_type="text/x-shellscript")},
    problems=(Unavailable,),
)
async def show_script(call: Call) -> web.Response:
    """Return the script that installs Headrace from this manager's wheels on a machine, and joins it."""
    script = await asyncio.to_thread(call.use.joining.installation.script)
    return web.Response(text=script, content_type="text/x-shellscript")


@routes.on(
    "GET",
    "/v1/join/docker.sh",
    public=True,
    replies={200: Reply("A shell script.", media_type="text/x-shellscript")},
    problems=(NotFound, Unavailable),
)
async def show_docker_script(call: Call) -> web.Response:
    """Return the script that joins a machine which has Docker, and runs the agent's image (`agent_image`) there."""
    script = await asyncio.to_thread(call.use.joining.installation.docker_script)
    return web.Response(text=script, content_type="text/x-shellscript")


@routes.on(
    "GET",
    "/v1/join/wheels/",
    public=True,
    replies={200: Reply("Links to the wheels.", media_type="text/html")},
    problems=(NotFound,),
)
async def list_wheels(call: Call) -> web.Response:
    """List the wheels that machines install Headrace from (`pip install --find-links`)."""
    links = "".join(
        f'<a href="{html.escape(name)}">{html.escape(name)}</a>\n' for name in await call.use.wheels.names()
    )
    return web.Response(text=f"<!DOCTYPE html>\n<title>wheels</title>\n{links}", content_type="text/html")


@routes.on(
    "GET",
    "/v1/join/wheels/{wheel}",
    public=True,
    replies={200: Reply("The wheel.", media_type="application/octet-stream")},
)
async def show_wheel(call: Call) -> web.StreamResponse:
    """Return one wheel."""
    return web.FileResponse(
        await call.use.wheels.file(call["wheel"]), headers={"Content-Type": "application/octet-stream"}
    )
