"""Routes of a service's rules, and of what happened to it."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.revisions import RevisionDetail, RevisionView
from headrace.common.contracts.http.rules import RuleView, ScaleDecisionView, UpdateRule
from headrace.common.contracts.http.services import HistoryEntry
from headrace.common.contracts.problems import Conflict, Forbidden
from headrace.common.contracts.rule import RuleSpec
from headrace.manager.api.routing import (
    MOST_REVISION,
    Call,
    Paging,
    Query,
    Reply,
    Routes,
    json_reply,
    no_content,
    revision_of,
)
from headrace.manager.store.rows import FIRST

routes = Routes("services")


class RevisionsQuery(Query):
    """Which revisions."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[int, Field(ge=0, le=MOST_REVISION)] | None = None


@routes.on(
    "POST", "/v1/services/{service}/rules", body=RuleSpec, replies={201: Reply("The rule.", RuleView)},
    problems=(Forbidden, Conflict),
)  # fmt: skip
async def add_rule(call: Call) -> web.Response:
    """Add an autoscaling rule (members)."""
    return json_reply(await call.use.rules.add(call.actor, call["service"], call.body(RuleSpec)), status=201)


@routes.on("GET", "/v1/services/{service}/rules", query=Paging, replies={200: Reply("Rules.", Page[RuleView])})
async def list_rules(call: Call) -> web.Response:
    """Return the service's rules, and what each saw and did last."""
    page = call.query(Paging)
    found = await call.use.rules.page(call.actor, call["service"], after=page.cursor or FIRST, limit=page.limit)
    return json_reply(found)


@routes.on(
    "PUT", "/v1/services/{service}/rules/{rule_id}", body=RuleSpec, replies={200: Reply("The rule.", RuleView)},
    problems=(Forbidden,),
)  # fmt: skip
async def replace_rule(call: Call) -> web.Response:
    """Write a rule anew (members)."""
    body = call.body(RuleSpec)
    return json_reply(await call.use.rules.replace(call.actor, call["service"], call["rule_id"], body))


@routes.on(
    "PATCH", "/v1/services/{service}/rules/{rule_id}", body=UpdateRule, replies={200: Reply("The rule.", RuleView)},
    problems=(Forbidden,),
)  # fmt: skip
async def update_rule(call: Call) -> web.Response:
    """Change what is given of a rule (members)."""
    body = call.body(UpdateRule)
    return json_reply(await call.use.rules.update(call.actor, call["service"], call["rule_id"], body))


@routes.on("DELETE", "/v1/services/{service}/rules/{rule_id}", replies={204: Reply("Removed.")}, problems=(Forbidden,))
async def remove_rule(call: Call) -> web.Response:
    """Remove a rule (members)."""
    await call.use.rules.remove(call.actor, call["service"], call["rule_id"])
    return no_content()


@routes.on(
    "GET",
    "/v1/services/{service}/revisions",
    query=RevisionsQuery,
    replies={200: Reply("Revisions.", Page[RevisionView])},
)
async def list_revisions(call: Call) -> web.Response:
    """Return the service's revisions, oldest first."""
    page = call.query(RevisionsQuery)
    found = await call.use.history.revisions(call.actor, call["service"], after=page.cursor or 0, limit=page.limit)
    return json_reply(found)


@routes.on("GET", "/v1/services/{service}/revisions/{revision}", replies={200: Reply("It.", RevisionDetail)})
async def show_revision(call: Call) -> web.Response:
    """Return one revision: what was asked for, and what its replicas are started with."""
    return json_reply(await call.use.history.revision(call.actor, call["service"], revision_of(call)))


@routes.on("GET", "/v1/services/{service}/history", query=Paging, replies={200: Reply("Changes.", Page[HistoryEntry])})
async def list_history(call: Call) -> web.Response:
    """Return who changed what and when, with which message, newest first."""
    page = call.query(Paging)
    return json_reply(await call.use.history.entries(call.actor, call["service"], before=page.cursor, limit=page.limit))


@routes.on(
    "GET", "/v1/services/{service}/decisions", query=Paging, replies={200: Reply("Decisions.", Page[ScaleDecisionView])}
)
async def list_decisions(call: Call) -> web.Response:
    """Return changes of the wanted replicas, by rules and by users, newest first."""
    page = call.query(Paging)
    return json_reply(
        await call.use.history.decisions(call.actor, call["service"], before=page.cursor, limit=page.limit)
    )
