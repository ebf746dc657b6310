"""Startup memory: what a service's process does before its first import, so that it loads no more than it uses.

Each process of an installation is a Python of its own: what a library loads and nobody uses is paid for in each.
"""

from __future__ import annotations

import sys

_UNUSED = ("rich", "opentelemetry.sdk.metrics")
"""Optional imports of libraries: rich by structlog, for tracebacks that services never print (3 to 4 MB); OpenTelemetry
metrics by redis (3 MB), which it only records when configured. The app-proxy's spans are not among them."""


def load_lean() -> None:
    """Block the import of optional modules that no service uses, as if they were not installed."""
    for name in _UNUSED:
        sys.modules[name] = None  # type: ignore[assignment]
