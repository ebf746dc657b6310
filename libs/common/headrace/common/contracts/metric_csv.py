"""CSV of metrics' history (RFC 4180), as the command line prints it: a row for each step, a column for each series."""

from __future__ import annotations

import csv
import io
from datetime import UTC, timedelta

from headrace.common.contracts.http.metrics import MetricHistory, MetricSeries


def metric_csv(history: MetricHistory) -> str:
    """Return a row for each step, after a header line. A cell is empty where nothing is known."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["time", *(column_name(one) for one in history.series)])
    for step, values in enumerate(zip(*(one.values for one in history.series), strict=True)):
        at = (history.since + timedelta(seconds=step * history.step_s)).astimezone(UTC)
        rows.writerow([at.strftime("%Y-%m-%dT%H:%M:%SZ"), *("" if value is None else value for value in values)])
    return text.getvalue()


def column_name(series: MetricSeries) -> str:
    """Return the name of a series, with its revision, replica or reason."""
    whose = series.label or series.id or series.reason
    return f"{series.name}[{whose}]" if whose is not None else str(series.name)
