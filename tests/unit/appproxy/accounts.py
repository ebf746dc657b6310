"""Records of requests as they are when they have ended."""

from __future__ import annotations

from typing import Any

from headrace.appproxy.dataplane.http1.heads import RequestHead
from headrace.appproxy.dataplane.telemetry.record import RequestRecord


def ended(status: int = 200, **more: Any) -> RequestRecord:
    """One that nobody serves, with this status; `more` are attributes of it."""
    record = RequestRecord(RequestHead(b"POST", b"/chat/v1", 1, []), "127.0.0.1", 0.0)
    record.request_id, record.status = b"r1", status
    for name, value in more.items():
        setattr(record, name, value)
    return record
