"""Views of history events."""

from __future__ import annotations

from headrace.common.contracts.http.history import HistoryEntry
from headrace.common.contracts.ids import EventId
from headrace.manager.domain.records.events import Event


def history_entry(event: Event) -> HistoryEntry:
    """Return one history event: who, when, what."""
    return HistoryEntry(
        id=EventId(event.id),
        at=event.at,
        actor=event.actor,
        action=event.action,
        message=event.message,
        details=event.details,
    )
