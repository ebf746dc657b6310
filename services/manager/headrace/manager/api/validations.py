"""Routes of validations: trial runs of a spec."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.validations import StartValidation, ValidationView
from headrace.common.contracts.problems import Conflict, Forbidden, InvalidDefinition, NotFound, QuotaExceeded
from headrace.manager.api.routing import Call, Reply, Routes, json_reply, no_content

routes = Routes("operation")


@routes.on(
    "POST",
    "/v1/validations",
    body=StartValidation,
    replies={201: Reply("The trial run.", ValidationView)},
    problems=(Forbidden, NotFound, Conflict, QuotaExceeded, InvalidDefinition),
)
async def start_validation(call: Call) -> web.Response:
    """Try a spec once without creating a service (members)."""
    run = await call.use.validations.start(call.actor, call.body(StartValidation))
    return json_reply(run, status=201, location=f"/v1/validations/{run.id}")


@routes.on("GET", "/v1/validations/{validation}", replies={200: Reply("The trial run.", ValidationView)})
async def show_validation(call: Call) -> web.Response:
    """Return how a trial run stands, and its verdict once it is done."""
    return json_reply(await call.use.validations.show(call.actor, call["validation"]))


@routes.on("DELETE", "/v1/validations/{validation}", replies={204: Reply("It ends.")}, problems=(Forbidden,))
async def stop_validation(call: Call) -> web.Response:
    """End a trial run (members)."""
    await call.use.validations.stop(call.actor, call["validation"])
    return no_content()
