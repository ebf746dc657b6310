"""View of the audit log as CSV: a line for each change, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from headrace.common.contracts.http.audit import AuditEntry

COLUMNS: Final = (
    "id",
    "at",
    "actor",
    "key",
    "key_id",
    "login_id",
    "source_address",
    "action",
    "project",
    "project_id",
    "service",
    "service_id",
    "message",
    "details",
    "before",
    "after",
)
MORE: Final = "more"
"""First cell of the line that ends a file which is not complete; the second is the cursor that goes on."""
_CONTROLS: Final = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - set(map(ord, "\t\r\n")))
"""Control characters, which a terminal would obey; cells are without them."""
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Beginnings of what a spreadsheet takes for a formula, and runs."""


def head() -> bytes:
    """Return the first line: the names of the columns."""
    return _line(COLUMNS)


def lines(entries: Iterable[AuditEntry]) -> bytes:
    """Return a line for each entry."""
    return b"".join(_line(map(_cell, (getattr(entry, name) for name in COLUMNS))) for entry in entries)


def more(cursor: str) -> bytes:
    """Return the line that says where to go on."""
    return _line((MORE, cursor))


def _cell(value: object) -> str:
    """Return a value as text that no spreadsheet runs: what begins as a formula gets an apostrophe, which makes it text."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False).translate(_CONTROLS)
    text = (value.isoformat() if isinstance(value, datetime) else str(value)).translate(_CONTROLS)
    return f"'{text}" if text.startswith(_FORMULAS) else text


def _line(cells: Iterable[str]) -> bytes:
    held = io.StringIO()
    csv.writer(held).writerow(cells)
    return held.getvalue().encode()
