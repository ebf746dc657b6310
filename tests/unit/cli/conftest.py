from __future__ import annotations

from tests.support.worlds.cli import bare, cli, home, there

__all__ = ["bare", "cli", "home", "there"]
