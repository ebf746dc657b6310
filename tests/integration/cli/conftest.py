"""The fixtures of the command line's unit tests: its processes are run against the same stand-in for the manager."""

from __future__ import annotations

from tests.unit.cli.conftest import bare, cli, home, there

__all__ = ["bare", "cli", "home", "there"]
