"""The admin pages: health, readiness, metrics and the tables in use, on a listener of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from headrace.appproxy.domain.ejection import Ejections
from headrace.appproxy.load import Load
from headrace.appproxy.table import Tables
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.web.app import Check, make_app


def routes_view(tables: Tables, load: Load, ejections: Ejections, now_s: float) -> list[dict[str, Any]]:
    """Return the tables as JSON values with each route's load; keys and revocations as numbers only."""
    out = ejections.out(now_s)

    def view(table: RouteTable) -> dict[str, Any]:
        shown = table.model_dump(mode="json", exclude={"token_keys", "revocations", "routes", "subject"})
        routes = [
            r.model_dump(mode="json") | {"in_flight": load.in_flight(r.session_id), "ejected": r.session_id in out}
            for r in table.routes
        ]
        return shown | {
            "token_keys": len(table.token_keys), "revocations": len(table.revocations), "routes": routes,
        }  # fmt: skip

    return [view(table) for table in sorted(tables, key=lambda table: table.name)]


def admin_app(
    *,
    checks: Mapping[str, Check],
    warnings: Mapping[str, Check],
    tables: Tables,
    load: Load,
    ejections: Ejections,
    monotonic: Any,
) -> web.Application:
    """Return the application with /livez, /readyz, /metrics and /routes."""
    app = make_app(checks=checks, warnings=warnings)

    async def routes(_: web.Request) -> web.Response:
        return web.json_response({"services": routes_view(tables, load, ejections, monotonic())})

    app.router.add_get("/routes", routes)
    return app
