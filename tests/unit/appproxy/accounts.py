"""Requests as they are when they have ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.appproxy.dataplane.http1.heads import RequestHead
from headrace.appproxy.dataplane.request.accounting import RequestRecord
from headrace.appproxy.dataplane.request.context import Listener
from headrace.appproxy.dataplane.request.downstream import DownstreamConnection
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.wiring import build_data_plane
from headrace.appproxy.settings import Settings


def ended(status: int = 200, **more: Any) -> RequestRecord:
    """One that nobody serves, with this status; `more` are attributes of it."""
    plane = build_data_plane(Settings(data_dir=Path("nowhere"), workers=0), RouteTables(), notify=lambda: None)
    account = RequestRecord(
        DownstreamConnection(plane.context, Listener(None)), RequestHead(b"POST", b"/chat/v1", 1, [])
    )
    account.request_id, account.status = b"r1", status
    for name, value in more.items():
        setattr(account, name, value)
    return account
