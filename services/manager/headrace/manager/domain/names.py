"""Reserved service names.

A service's name is a path of the app-proxy: reserved names are paths with another meaning.
"""

from __future__ import annotations

RESERVED = {
    "v1": "the OpenAI-compatible base URL of all services",
    "v2": "the next version of that base URL",
    "available": "the question whether a name is free",
    "counts": "the numbers of services",
    **dict.fromkeys(("livez", "readyz", "healthz", "metrics", "routes"), "the app-proxy's own pages"),
    **dict.fromkeys(("api", "console", "feedback"), "Headrace itself"),
}


def why_unusable(name: str) -> str | None:
    """Return why the name is reserved or malformed; None when a service may have it (it may still be taken)."""
    return f"{name} is reserved for {RESERVED[name]}" if name in RESERVED else None
