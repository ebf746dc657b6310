"""Routes of a project's webhooks."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.webhooks import CreateWebhook, UpdateWebhook, WebhookView
from headrace.common.contracts.problems import Conflict, Forbidden, NameTaken
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply, no_content

routes = Routes("webhooks")
ALL = "/v1/projects/{project}/webhooks"
ONE = f"{ALL}/{{webhook}}"


@routes.on(
    "POST",
    ALL,
    body=CreateWebhook,
    creates=f"{ALL}/{{id}}",
    replies={201: Reply("The webhook.", WebhookView)},
    problems=(Forbidden, NameTaken, Conflict),
)
async def create_webhook(call: Call) -> web.Response:
    """Create a webhook (owners): events of the project's history are sent to its URL (`WebhookEvent`), signed with a secret."""
    made = await call.use.webhooks.create(call.actor, call["project"], call.body(CreateWebhook))
    return json_reply(made, status=201)


@routes.on(
    "GET", ALL, query=Paging, replies={200: Reply("A page of webhooks.", Page[WebhookView])}, problems=(Forbidden,)
)
async def list_webhooks(call: Call) -> web.Response:
    """List the project's webhooks (owners)."""
    page = call.query(Paging)
    return json_reply(await call.use.webhooks.page(call.actor, call["project"], after=page.after, limit=page.limit))


@routes.on("GET", ONE, replies={200: Reply("The webhook.", WebhookView)}, problems=(Forbidden,))
async def show_webhook(call: Call) -> web.Response:
    """Get a webhook, by name or id, with what the receiver answered lately (owners)."""
    return json_reply(await call.use.webhooks.show(call.actor, call["project"], call["webhook"]))


@routes.on(
    "PATCH",
    ONE,
    body=UpdateWebhook,
    replies={200: Reply("The webhook.", WebhookView)},
    problems=(Forbidden,),
    conditional=True,
)
async def update_webhook(call: Call) -> web.Response:
    """Change a webhook (owners). What waits is tried anew at once; it is dropped where the webhook is not enabled."""
    change = call.body(UpdateWebhook)
    return json_reply(await call.use.webhooks.update(call.actor, call["project"], call["webhook"], change))


@routes.on("DELETE", ONE, replies={204: Reply("Deleted.")}, problems=(Forbidden,), conditional=True)
async def delete_webhook(call: Call) -> web.Response:
    """Delete a webhook, and what waits for it (owners)."""
    await call.use.webhooks.delete(call.actor, call["project"], call["webhook"])
    return no_content()


@routes.on("POST", f"{ONE}/test", replies={202: Reply("It is queued.", WebhookView)}, problems=(Forbidden, Conflict))
async def test_webhook(call: Call) -> web.Response:
    """Queue an event `webhook.tested` for this webhook, whatever its kinds (owners)."""
    return json_reply(await call.use.webhooks.test(call.actor, call["project"], call["webhook"]), status=202)
