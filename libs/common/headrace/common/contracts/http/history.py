"""The history of a service."""

from __future__ import annotations

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import View
from headrace.common.contracts.ids import EventId


class HistoryEntry(View):
    """One change: who, when, what, with which message."""

    id: EventId
    at: AwareDatetime
    actor: str
    action: str
    message: str
    details: dict[str, object]
