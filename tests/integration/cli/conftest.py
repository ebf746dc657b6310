"""The fixtures of the command line's unit tests: its processes are run against the same fake of the manager."""

from __future__ import annotations

from tests.support.worlds.cli import bare, cli, home, there

__all__ = ["bare", "cli", "home", "there"]
