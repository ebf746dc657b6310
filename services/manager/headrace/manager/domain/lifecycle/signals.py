"""Names of signals behind exit codes."""

from __future__ import annotations

import signal


def signal_of(exit_code: int | None) -> str | None:
    """Return the name of the signal that an exit code above 128 stands for (as shells have it), None for another code."""
    if exit_code is None or exit_code <= 128:
        return None
    try:
        return signal.Signals(exit_code - 128).name
    except ValueError:
        return f"signal {exit_code - 128}"
