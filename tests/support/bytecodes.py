"""Count of executed Python bytecodes: a measure of work that the machine's load does not change."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def bytecodes(call: Callable[[], Any], *refusals: type[Exception]) -> int:
    """Return the number of bytecodes that `call` executes, also when it raises one of `refusals`."""
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
