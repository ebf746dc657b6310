"""Pages of the web console, each with an address at which it has something to show."""

from __future__ import annotations

import re
from pathlib import Path

ROUTES = Path(__file__).parents[2] / "console" / "src" / "app" / "routes.tsx"
PAGES = {
    "/": "/",
    "/services": "/services",
    "/services/new": "/services/new?folder=rivers",
    "/services/$service": "/services/rivers",
    "/services/$service/logs": "/services/rivers/logs",
    "/services/$service/history": "/services/rivers/history",
    "/services/$service/access": "/services/rivers/access",
    "/services/$service/settings": "/services/rivers/settings",
    "/services/$service/traffic": "/services/rivers/traffic",
    "/services/$service/scaling": "/services/rivers/scaling",
    "/folders": "/folders",
    "/folders/$folder": "/folders/rivers",
    "/chat": "/chat?service=rivers",
    "/machines": "/machines",
    "/machines/$machine": "/machines/agent-1",
    "/projects": "/projects",
    "/projects/$name": "/projects/default",
    "/projects/$name/members": "/projects/default/members",
    "/projects/$name/tokens": "/projects/default/tokens",
    "/projects/$name/secrets": "/projects/default/secrets",
    "/projects/$name/webhooks": "/projects/default/webhooks",
    "/users": "/users",
    "/users/$user": "/users/ann",
    "/me": "/me",
    "/audit": "/audit",
}
"""Address of each route, in an installation with the service and folder `rivers`, the machine `agent-1` and the user `ann`."""
_ROUTE = re.compile(r'const (\w+) = create(?:Root)?Route\(\{(?:\s*getParentRoute: \(\) => (\w+),\s*path: "([^"]*)")?')


def routes() -> set[str]:
    """Return the paths of all routes in the console's sources."""
    found: dict[str, str] = {}
    for name, parent, path in _ROUTE.findall(ROUTES.read_text()):
        found[name] = f"{found.get(parent, '').rstrip('/')}{path}".rstrip("/") or ("/" if parent else "")
    return {path for path in found.values() if path}
