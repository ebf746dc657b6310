"""What an entry of the audit log keeps of a change: where the states before and after it differ, in a bounded size. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from headrace.manager.domain.audit_states import State

Document: TypeAlias = dict[str, Any]
MAX_TEXT: Final = 1_000
"""Characters of a text in an entry."""
MAX_DOCUMENT_BYTES: Final = 8_192
"""Bytes of an entry's details, of its state before and of that after, each as JSON."""
_MAX_NAME: Final = 100
_MAX_SHOWN: Final = 10


@dataclass(frozen=True)
class StateChange:
    """States before and after a change; None: the thing was not there."""

    before: Document | None = None
    after: Document | None = None


def change_of(before: State | None, after: State | None) -> StateChange:
    """Return the states as they are kept: whole where one of them is missing, else what differs."""
    first, last = _document(before), _document(after)
    if first is not None and last is not None:
        first, last = _differing(first, last)
    return StateChange(*(None if one is None else bounded(one) for one in (first, last)))


def bounded(document: Mapping[str, Any]) -> Document:
    """Return a JSON document of at most MAX_DOCUMENT_BYTES: long texts are cut, then the largest fields left out; both say so."""
    kept = {name: _cut(value) for name, value in document.items()}
    sizes = {name: _size(value) for name, value in kept.items()}
    size = _size(kept)
    for name in sorted(sizes, key=lambda one: sizes[one], reverse=True):
        if size <= MAX_DOCUMENT_BYTES:
            break
        kept[name] = f"left out: {sizes[name]} bytes"
        size += _size(kept[name]) - sizes[name]
    if size <= MAX_DOCUMENT_BYTES:
        return kept
    names = [name[:_MAX_NAME] for name in list(kept)[:_MAX_SHOWN]]
    return {"left out": f"{len(kept)} fields", "first": names}


def _document(state: State | None) -> Document | None:
    return None if state is None else state.model_dump(mode="json", warnings=False)


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Document, Document]:
    """Return the fields of each that the other has not, or has otherwise; documents in them likewise."""
    first: Document = {}
    last: Document = {}
    for name in before.keys() | after.keys():
        if name in before and name in after:
            one, other = before[name], after[name]
            if one == other:
                continue
            if isinstance(one, Mapping) and isinstance(other, Mapping):
                one, other = _differing(one, other)
            first[name], last[name] = one, other
        elif name in before:
            first[name] = before[name]
        else:
            last[name] = after[name]
    return dict(sorted(first.items())), dict(sorted(last.items()))


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}… ({len(value)} characters)"
    if isinstance(value, Mapping):
        return {str(name): _cut(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(inner) for inner in value]
    return value


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
