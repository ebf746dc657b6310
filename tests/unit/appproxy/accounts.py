"""Requests as they are when they have ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.appproxy.framing.heads import RequestHead
from headrace.appproxy.plane_wiring import build_plane
from headrace.appproxy.settings import Settings
from headrace.appproxy.table import Tables
from headrace.appproxy.traffic.accounts import Account
from headrace.appproxy.traffic.caller import CallerConnection
from headrace.appproxy.traffic.parts import Door


def ended(status: int = 200, **more: Any) -> Account:
    """One that nobody serves, with this status; `more` are attributes of it."""
    plane = build_plane(Settings(data_dir=Path("nowhere"), workers=0), Tables(), notify=lambda: None)
    account = Account(CallerConnection(plane.parts, Door(None)), RequestHead(b"POST", b"/chat/v1", 1, []))
    account.request_id, account.status = b"r1", status
    for name, value in more.items():
        setattr(account, name, value)
    return account
