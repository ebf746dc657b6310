"""Admin HTTP server: health, readiness, metrics and the route tables in use.

On a listener of its own, so that callers never reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.ipc.snapshot import TrafficSnapshot
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.readiness import ReadinessCheck
from headrace.common.web.app import Check, make_app

_HIDDEN = {"token_keys", "revocations", "clients", "token_limits", "routes", "subject"}


def routes_view(tables: RouteTables, snapshot: TrafficSnapshot) -> list[dict[str, Any]]:
    """Return the route tables and each route's load as JSON values.

    Secrets are left out: of keys, revocations, clients and tokens only the number is shown.
    """

    def shown(table: RouteTable) -> dict[str, Any]:
        waiting = snapshot.queues.get(table.service_id)
        routes = [
            route.model_dump(mode="json")
            | {
                "in_flight": snapshot.in_flight.get(route.session_id, 0),
                "ejected": route.session_id in snapshot.ejected,
            }
            for route in table.routes
        ]
        return table.model_dump(mode="json", exclude=_HIDDEN) | {
            "token_keys": len(table.token_keys),
            "revocations": len(table.revocations),
            "clients": len(table.clients),
            "token_limits": len(table.token_limits),
            "queued": waiting.requests if waiting else 0,
            "routes": routes,
        }

    return [shown(table) for table in sorted(tables, key=lambda table: table.name)]


def admin_app(
    *,
    checks: Mapping[ReadinessCheck, Check],
    warnings: Mapping[ReadinessCheck, Check],
    tables: RouteTables,
    snapshot: Callable[[], TrafficSnapshot],
) -> web.Application:
    """Return the admin application: /livez, /readyz, /metrics and /routes."""
    app = make_app(checks=checks, warnings=warnings)

    async def routes(_: web.Request) -> web.Response:
        return web.json_response({"services": routes_view(tables, snapshot())})

    app.router.add_get("/routes", routes)
    return app
