"""The manager's web application, built from the declared routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from aiohttp import web

from headrace.common.contracts.http.installation import Version
from headrace.common.contracts.problems import Forbidden, Problem
from headrace.common.contracts.readiness import ReadinessCheck
from headrace.common.web.app import Check, make_app
from headrace.manager.api import (
    agent_files,
    agents,
    archives,
    audit,
    callers,
    calls,
    clients,
    console,
    decisions,
    definitions,
    events,
    files,
    folder_invitations,
    folders,
    history,
    identities,
    join_tokens,
    joining,
    keys,
    logins,
    logs,
    metrics,
    models,
    projects,
    receipts,
    removed_agents,
    replicas,
    resolutions,
    resource_groups,
    resource_presets,
    revisions,
    revocations,
    rollouts,
    rules,
    search,
    secrets,
    service_lists,
    services,
    shares,
    status,
    targets,
    tokens,
    trash,
    uploads,
    usage,
    users,
    validations,
    webhooks,
    whoami,
)
from headrace.manager.api.conditions import tagged, wanted_tags
from headrace.manager.api.console import WebConsole
from headrace.manager.api.idempotency import created
from headrace.manager.api.incoming import (
    BODY,
    MAX_BODY_BYTES,
    check_encoding,
    check_path,
    read_body,
    read_message,
    read_query,
)
from headrace.manager.api.installed import installed_version
from headrace.manager.api.openapi import make_document
from headrace.manager.api.pointers import point
from headrace.manager.api.presented import presented
from headrace.manager.api.routing import Call, Endpoint, Reply, Routes, json_reply
from headrace.manager.domain import access
from headrace.manager.domain.access import Actor
from headrace.manager.usecases.facade import UseCases

meta = Routes("installation")
_NOBODY: Any = None


@meta.on("GET", "/v1/openapi.json", public=True, replies={200: Reply("OpenAPI 3.1.", media_type="application/json")})
async def openapi(_: Call) -> web.Response:
    """Return this document."""
    return web.json_response(document())


@meta.on("GET", "/v1/version", public=True, replies={200: Reply("The version.", Version)})
async def show_version(_: Call) -> web.Response:
    """Return which version runs here."""
    return json_reply(Version(version=installed_version()))


ENDPOINTS: tuple[Endpoint, ...] = tuple(
    endpoint
    for routes in (
        meta,
        whoami.routes,
        projects.routes,
        users.routes,
        keys.routes,
        logins.routes,
        folders.routes,
        shares.routes,
        folder_invitations.routes,
        files.routes,
        trash.routes,
        definitions.routes,
        models.routes,
        uploads.routes,
        archives.routes,
        search.routes,
        service_lists.routes,
        services.routes,
        resolutions.routes,
        tokens.routes,
        revocations.routes,
        calls.routes,
        clients.routes,
        secrets.routes,
        resource_presets.routes,
        resource_groups.routes,
        rules.routes,
        revisions.routes,
        history.routes,
        audit.routes,
        decisions.routes,
        replicas.routes,
        rollouts.routes,
        receipts.routes,
        removed_agents.routes,
        join_tokens.routes,
        identities.routes,
        joining.routes,
        logs.routes,
        events.routes,
        validations.routes,
        webhooks.routes,
        agents.routes,
        targets.routes,
        usage.routes,
        callers.routes,
        metrics.routes,
        status.routes,
    )
    for endpoint in routes.endpoints
)
"""Every route; /v1/services/available comes before /v1/services/{service}."""


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    return make_document(ENDPOINTS, version=installed_version())


def make_api(
    use: UseCases,
    web_console: WebConsole,
    *,
    checks: Mapping[ReadinessCheck, Check] | None = None,
    warnings: Mapping[ReadinessCheck, Check] | None = None,
) -> web.Application:
    """Return the application: `/v1`, `/agents/v1` for agents, `/console/`, `/livez`, `/readyz` (`checks`, `warnings`), `/metrics`."""
    app = make_app(checks=checks, warnings=warnings, max_body_bytes=MAX_BODY_BYTES)
    for endpoint in ENDPOINTS:
        app.router.add_route(endpoint.method, endpoint.path, _handler(endpoint, use))
    agent_files.add_routes(app, use.snapshot_files)
    console.add_routes(app, web_console)

    async def stop(_: web.Application) -> None:
        use.live_events.stop()  # before open requests are waited for

    app.on_shutdown.append(stop)
    return app


def _handler(endpoint: Endpoint, use: UseCases) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await answer(request)
        except Problem as problem:
            point(problem, request.get(BODY), endpoint.body)
            raise

    async def answer(request: web.Request) -> web.StreamResponse:
        check_path(request)
        if endpoint.takes_body:
            check_encoding(request)
        actor: Actor = _NOBODY
        if not endpoint.public:
            actor = await use.auth.actor(presented(request))
            if not endpoint.reads and (why := access.write_refusal(actor)) is not None:
                raise Forbidden(why)
        if endpoint.changes:
            actor = replace(actor, message=read_message(request))
        query = read_query(request, endpoint.query)
        body = await read_body(request, endpoint.body) if endpoint.body is not None else None
        if endpoint.conditional:
            actor = replace(actor, if_match=wanted_tags(request))
        call = Call(request, use, actor, query, body)
        response = await (created(endpoint, call) if endpoint.creates else endpoint.handler(call))
        return tagged(request, response) if endpoint.tagged else response

    return handle
