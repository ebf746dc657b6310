"""Startup memory: what a service's process does before its first import, so that it loads no more than it uses.

Each process of an installation is a Python of its own: what a library loads and nobody uses is paid for in each.
"""

from __future__ import annotations

import sys

_UNUSED = ("rich", "opentelemetry.sdk.metrics")
"""What libraries load where they find it: structlog rich, for tracebacks that services never print (3 to 4 MB); redis the metrics
of OpenTelemetry (3 MB), which it records only where it is told to. The app-proxy's spans are not among them."""


def load_lean() -> None:
    """Block the import of optional modules that no service uses, as if they were not installed."""
    for name in _UNUSED:
        sys.modules[name] = None  # type: ignore[assignment]
