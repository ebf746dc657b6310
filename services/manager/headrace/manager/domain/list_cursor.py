"""Cursors of sorted lists of services: they hold a place in the list, not a number of items.

A page goes on after that place although services come and go before it. One whose sort value changes meanwhile moves in
the list, as everything sorted does, and may be on two pages or on none.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.vocabulary import SERVICE_STATUSES, ServiceSort
from headrace.manager.domain.records.service_lists import Position, SortKey

MAX_CURSOR_CHARS = 300
_MAX_INTEGER: Final = 2_147_483_647


def write_cursor(sort: ServiceSort, place: Position) -> str:
    """Return the cursor of a place. In order of creation it is the service's id, which says when it was created."""
    if sort == "created":
        return str(place.service_id)
    key = place.key.isoformat() if isinstance(place.key, datetime) else str(place.key)
    return urlsafe_b64encode(f"{sort} {place.service_id} {key}".encode()).decode().rstrip("=")


def read_cursor(sort: ServiceSort, cursor: str) -> Position | None:
    """Return the place of a cursor; None for what is none of a list with this sort."""
    try:
        if sort == "created":
            service_id = UUID(cursor)
            return Position(service_id, ServiceId(service_id))
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        written, reference, key = text.split(" ", 2)
        return Position(_KEYS[sort](key), ServiceId(UUID(reference))) if written == sort else None
    except ValueError:
        return None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(_MAX_INTEGER)) or int(text) > _MAX_INTEGER:
        raise ValueError("no number of replicas")
    return int(text)


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time beyond the calendar") from None


def _name(text: str) -> str:
    if "\x00" in text:
        raise ValueError("no name")
    return text


def _status(text: str) -> str:
    if text not in SERVICE_STATUSES:
        raise ValueError("no status")
    return text


_KEYS: Final[Mapping[ServiceSort, Callable[[str], SortKey]]] = {
    "name": _name,
    "updated": _moment,
    "replicas": _number,
    "status": _status,
}
