"""Routes of a service's rules."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.rules import RuleView, UpdateRule
from headrace.common.contracts.problems import Conflict, Forbidden
from headrace.common.contracts.rule import RuleSpec
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply, no_content

routes = Routes("services")


@routes.on(
    "POST",
    "/v1/services/{service}/rules",
    body=RuleSpec,
    creates="/v1/services/{service}/rules/{id}",
    replies={201: Reply("The rule.", RuleView)},
    problems=(Forbidden, Conflict),
)
async def add_rule(call: Call) -> web.Response:
    """Create an autoscaling rule (members)."""
    return json_reply(await call.use.rules.add(call.actor, call["service"], call.body(RuleSpec)), status=201)


@routes.on(
    "GET", "/v1/services/{service}/rules", query=Paging, replies={200: Reply("A page of rules.", Page[RuleView])}
)
async def list_rules(call: Call) -> web.Response:
    """List the service's autoscaling rules, each with its latest evaluation."""
    page = call.query(Paging)
    found = await call.use.rules.page(call.actor, call["service"], after=page.after, limit=page.limit)
    return json_reply(found)


@routes.on(
    "PUT",
    "/v1/services/{service}/rules/{rule_id}",
    body=RuleSpec,
    replies={200: Reply("The rule.", RuleView)},
    problems=(Forbidden,),
    conditional=True,
)
async def replace_rule(call: Call) -> web.Response:
    """Replace an autoscaling rule: fields that are not given get their defaults (members)."""
    body = call.body(RuleSpec)
    return json_reply(await call.use.rules.replace(call.actor, call["service"], call["rule_id"], body))


@routes.on(
    "PATCH",
    "/v1/services/{service}/rules/{rule_id}",
    body=UpdateRule,
    replies={200: Reply("The rule.", RuleView)},
    problems=(Forbidden,),
    conditional=True,
)
async def update_rule(call: Call) -> web.Response:
    """Change the given fields of an autoscaling rule (members)."""
    body = call.body(UpdateRule)
    return json_reply(await call.use.rules.update(call.actor, call["service"], call["rule_id"], body))


@routes.on(
    "DELETE",
    "/v1/services/{service}/rules/{rule_id}",
    replies={204: Reply("Deleted.")},
    problems=(Forbidden,),
    conditional=True,
)
async def remove_rule(call: Call) -> web.Response:
    """Delete an autoscaling rule (members)."""
    await call.use.rules.remove(call.actor, call["service"], call["rule_id"])
    return no_content()
