"""What a service does before its first import, so that its process loads no more than it uses."""

from __future__ import annotations

import sys


def without_rich() -> None:
    """Keep rich from being imported: structlog loads it where it finds it, for tracebacks that services never print (3 to 4 MB)."""
    sys.modules["rich"] = None  # type: ignore[assignment]
