"""Names that a service cannot have, because its address would be something else's."""

from __future__ import annotations

RESERVED = frozenset({"available", "v1", "v2", "api", "console", "livez", "readyz", "metrics", "healthz", "feedback"})


def why_unusable(name: str) -> str | None:
    """Return why a service cannot be called so, None when it can (somebody else may still have the name)."""
    return f"{name} is reserved for addresses of Headrace itself" if name in RESERVED else None
