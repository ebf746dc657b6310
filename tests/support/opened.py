"""Which files a piece of code opens and which folders it lists: a count that no busy machine changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_EVENTS = {"open", "os.listdir", "os.scandir"}
_listening: list[list[str]] = []
_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event in _EVENTS:
        for names in _listening:
            names.append(str(arguments[0]))


@contextmanager
def opened() -> Iterator[list[str]]:
    """Give a list to which the name of each file or folder is added that this process opens meanwhile, in any thread."""
    if not _hooked:
        sys.addaudithook(_hook)  # can not be taken away again
        _hooked.append(True)
    names: list[str] = []
    _listening.append(names)
    try:
        yield names
    finally:
        _listening.remove(names)
