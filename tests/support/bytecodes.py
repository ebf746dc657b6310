"""How much Python a call runs: a count that no busy machine changes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def bytecodes(call: Callable[[], Any], *refusals: type[Exception]) -> int:
    """Return how many bytecodes `call` runs, be it that it ends with one of `refusals`."""
    count = 0

    def step(_frame: Any, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "opcode"
        return step

    def enter(frame: Any, _event: str, _argument: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        with suppress(*refusals):
            call()
    finally:
        sys.settrace(before)
    return count
