"""Routes of validations: trial runs of a spec."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.validations import StartValidation, ValidationView
from headrace.common.contracts.problems import (
    Conflict,
    Forbidden,
    InsufficientStorage,
    InvalidDefinition,
    NotFound,
    QuotaExceeded,
)
from headrace.manager.api.routing import Call, Reply, Routes, json_reply, no_content

routes = Routes("operation")


@routes.on(
    "POST",
    "/v1/validations",
    body=StartValidation,
    creates="/v1/validations/{id}",
    replies={201: Reply("The trial run.", ValidationView)},
    problems=(Forbidden, NotFound, Conflict, QuotaExceeded, InvalidDefinition, InsufficientStorage),
)
async def start_validation(call: Call) -> web.Response:
    """Start a trial run: a spec is started once, without a service, and gets a verdict (members)."""
    run = await call.use.validations.start(call.actor, call.body(StartValidation))
    return json_reply(run, status=201)


@routes.on("GET", "/v1/validations/{validation}", replies={200: Reply("The trial run.", ValidationView)})
async def show_validation(call: Call) -> web.Response:
    """Get a trial run's state, and its verdict once it has one."""
    return json_reply(await call.use.validations.show(call.actor, call["validation"]))


@routes.on(
    "DELETE", "/v1/validations/{validation}", replies={204: Reply("It is being stopped.")}, problems=(Forbidden,)
)
async def stop_validation(call: Call) -> web.Response:
    """Stop a trial run (members)."""
    await call.use.validations.stop(call.actor, call["validation"])
    return no_content()
