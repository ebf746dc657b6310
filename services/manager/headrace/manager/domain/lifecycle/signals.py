"""Signal names of exit codes."""

from __future__ import annotations

import signal


def signal_of(exit_code: int | None) -> str | None:
    """Return the name of the signal of an exit code above 128 (128 + signal, as shells have it); None for other codes."""
    if exit_code is None or exit_code <= 128:
        return None
    try:
        return signal.Signals(exit_code - 128).name
    except ValueError:
        return f"signal {exit_code - 128}"
