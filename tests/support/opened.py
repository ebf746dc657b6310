"""Record of the files that code opens and the folders it lists: a measure of work that the machine's load does not change."""

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
    """Yield a list that collects the name of each file or folder that this process opens meanwhile, in any thread."""
    if not _hooked:
        sys.addaudithook(_hook)  # can not be taken away again
        _hooked.append(True)
    names: list[str] = []
    _listening.append(names)
    try:
        yield names
    finally:
        _listening.remove(names)
