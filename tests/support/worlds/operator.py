"""Operator: somebody with the command line, on another machine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path


class Operator:
    """Runs commands with a home of their own."""

    def __init__(self, home: Path) -> None:
        self._environ = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}

    async def runs(self, *words: str, given: str = "") -> str:
        """Run a command and return its output. AssertionError if it fails."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "headrace.cli",
            *words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environ,
        )
        out, error = await process.communicate(given.encode())
        assert process.returncode == 0, error.decode()
        return out.decode()
