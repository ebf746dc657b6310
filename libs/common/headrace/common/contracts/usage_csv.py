"""CSV of usage (RFC 4180), as the API gives it and the command line prints it."""

from __future__ import annotations

import csv
import io
from typing import Final

from headrace.common.contracts.http.usage import UsageItem, UsageReport

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that spreadsheets compute: names are people's own."""


def usage_csv(report: UsageReport) -> str:
    """Return the report's rows, after a header line."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(UsageItem.model_fields)
    for item in report.items:
        rows.writerow([_cell(value) for value in item.model_dump(mode="json").values()])
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
