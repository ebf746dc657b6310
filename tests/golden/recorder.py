"""Runs a module of Headrace, and keeps an example of each shape of message that it sends or receives.

RECORD_TO=FOLDER python recorder.py MODULE, with the Python of the previous release; it imports nothing of the tests.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headrace.common.contracts.messages.envelope import Message

_seen: set[tuple[str, frozenset[str]]] = set()


def shape(value: Any, at: str = "") -> Iterator[str]:
    """Yield the places of all values; keys that are ids count as one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from shape(inner, f"{at}.{key if key.isidentifier() else '*'}")
    elif isinstance(value, list):
        for inner in value:
            yield from shape(inner, f"{at}[]")
    else:
        yield f"{at}:{type(value).__name__}"


def keep(kind: str, data: bytes) -> None:
    """Write an encoded message down if none of its shape is there."""
    places = (kind, frozenset(shape(json.loads(data))))
    if places in _seen:
        return
    _seen.add(places)
    folder = Path(os.environ["RECORD_TO"]) / kind
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{os.getpid()}-{len(_seen)}.json").write_bytes(data)


def _record() -> None:
    kind_of_all: Any = Message
    encode, decode = kind_of_all.encode, kind_of_all.decode.__func__

    def encoded(self: Message) -> bytes:
        data: bytes = encode(self)
        keep(type(self).__name__, data)
        return data

    def decoded(kind: type[Message], data: bytes) -> Any:
        message = decode(kind, data)
        keep(kind.__name__, data)
        return message

    kind_of_all.encode = encoded
    kind_of_all.decode = classmethod(decoded)


if __name__ == "__main__":
    _record()
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
