"""Reserved names of services.

A service's name is a path of the app-proxy: these are paths of something else already.
"""

from __future__ import annotations

RESERVED = {
    "v1": "the OpenAI-compatible base URL of all services",
    "v2": "the next version of that base URL",
    "available": "the question whether a name is free",
    **dict.fromkeys(("livez", "readyz", "healthz", "metrics", "routes"), "the app-proxy's own pages"),
    **dict.fromkeys(("api", "console", "feedback"), "Headrace itself"),
}


def why_unusable(name: str) -> str | None:
    """Return why a service cannot be called so, None when it can (somebody else may still have the name)."""
    return f"{name} is reserved for {RESERVED[name]}" if name in RESERVED else None
