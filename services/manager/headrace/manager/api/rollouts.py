"""Routes of rollouts."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.rollouts import Promote, RolloutMessage, RolloutView
from headrace.common.contracts.problems import Conflict, Forbidden
from headrace.manager.api.routing import Call, Reply, Routes, json_reply

routes = Routes("services")
VIEW = {200: Reply("How the rollout stands.", RolloutView)}


@routes.on("GET", "/v1/services/{service}/rollout", replies=VIEW)
async def show_rollout(call: Call) -> web.Response:
    """Get how the rollout of the current revision stands: steps, replicas of both sides, and why it is there."""
    return json_reply(await call.use.rollouts.show(call.actor, call["service"]))


@routes.on(
    "POST",
    "/v1/services/{service}/rollout/pause",
    body=RolloutMessage,
    replies=VIEW,
    problems=(Forbidden, Conflict),
    conditional=True,
)
async def pause_rollout(call: Call) -> web.Response:
    """Pause a rollout (members): the new revision keeps the replicas that it has, and gets no more until it is resumed."""
    return json_reply(await call.use.rollouts.pause(call.actor, call["service"], call.body(RolloutMessage).message))


@routes.on(
    "POST", "/v1/services/{service}/rollout/resume", replies=VIEW, problems=(Forbidden, Conflict), conditional=True
)
async def resume_rollout(call: Call) -> web.Response:
    """Resume a paused rollout (members)."""
    return json_reply(await call.use.rollouts.resume(call.actor, call["service"]))


@routes.on(
    "POST",
    "/v1/services/{service}/rollout/promote",
    body=Promote,
    replies=VIEW,
    problems=(Forbidden, Conflict),
    conditional=True,
)
async def promote_rollout(call: Call) -> web.Response:
    """Promote a rollout (members): to the next canary step, or with `full` to the end; switch a blue-green rollout."""
    return json_reply(await call.use.rollouts.promote(call.actor, call["service"], full=call.body(Promote).full))


@routes.on(
    "POST",
    "/v1/services/{service}/rollout/abort",
    body=RolloutMessage,
    replies=VIEW,
    problems=(Forbidden, Conflict),
    conditional=True,
)
async def abort_rollout(call: Call) -> web.Response:
    """Abort a rollout (members): the revision that served is the current one again, and its replicas stay as they are."""
    return json_reply(await call.use.rollouts.abort(call.actor, call["service"], call.body(RolloutMessage).message))
