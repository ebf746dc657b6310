"""`headrace service metrics`: history of a service's metrics; `headrace service top`: the traffic of all now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from headrace.cli.command import Commands, commands
from headrace.cli.commands.flags import OfProject, Service
from headrace.cli.output import Columns
from headrace.cli.parsing import duration_s, past
from headrace.cli.session import Session
from headrace.common.contracts.http.metrics import MetricHistory, MetricSeries, ServiceMetricsNow
from headrace.common.contracts.http.page import View
from headrace.common.contracts.metric_csv import column_name, metric_csv
from headrace.common.contracts.metric_series import SeriesBy, SeriesName

_SHOWN: Final = (
    SeriesName.REQUESTS,
    SeriesName.CLIENT_ERRORS,
    SeriesName.SERVER_ERRORS,
    SeriesName.REFUSED,
    SeriesName.LATENCY_P50,
    SeriesName.LATENCY_P95,
    SeriesName.COMPLETION_TOKENS,
    SeriesName.IN_FLIGHT,
    SeriesName.QUEUED,
    SeriesName.REPLICAS_HEALTHY,
    SeriesName.CPU,
)
_HEADINGS: Final = {
    SeriesName.REQUESTS: "REQ/S",
    SeriesName.CLIENT_ERRORS: "4XX/S",
    SeriesName.SERVER_ERRORS: "5XX/S",
    SeriesName.REFUSED: "REFUSED/S",
    SeriesName.LATENCY_P50: "P50",
    SeriesName.LATENCY_P95: "P95",
    SeriesName.COMPLETION_TOKENS: "TOKENS OUT/S",
    SeriesName.IN_FLIGHT: "IN FLIGHT",
    SeriesName.QUEUED: "QUEUED",
    SeriesName.REPLICAS_HEALTHY: "HEALTHY",
    SeriesName.CPU: "CORES",
}
_STEPS_S: Final = (10, 60, 300, 900, 1800, 3600, 7200, 21_600)
_SOUGHT_LINES: Final = 30


class _Row(View):
    """Values of all series in one step."""

    time: str
    values: tuple[float | None, ...]


_NOW: Columns[ServiceMetricsNow] = (
    ("PROJECT", lambda one: one.project),
    ("SERVICE", lambda one: one.name),
    ("REQ/S", lambda one: _number(one.requests_per_second)),
    ("4XX/S", lambda one: _number(one.client_errors_per_second)),
    ("5XX/S", lambda one: _number(one.server_errors_per_second)),
    ("REFUSED/S", lambda one: _number(one.refused_per_second)),
    ("P50", lambda one: _seconds(one.latency_p50_s)),
    ("P95", lambda one: _seconds(one.latency_p95_s)),
    ("TOKENS/S", lambda one: _number(one.tokens_per_second)),
    ("IN FLIGHT", lambda one: _number(one.in_flight)),
    ("QUEUED", lambda one: _number(one.queued)),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"metrics": metrics, "top": top})


def metrics(
    session: Session,
    service: Service,
    series: Annotated[
        str, typer.Option("--series", metavar="NAMES", help="Series, separated by commas; with --csv and --json all.")
    ] = "",
    by: Annotated[
        SeriesBy, typer.Option("--by", help="All of the service, each revision, or each replica.")
    ] = "service",
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="1h, 7d, 2027-12-31 or a time; at most 7 days ago.")
    ] = "1h",
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="As --from; now if not given.")] = None,
    step: Annotated[
        str | None, typer.Option("--step", metavar="DURATION", help="Length of a step: 10s and longer.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Show the history of a service's metrics: a line for each step; `-` is not known, 0 is none."""
    now = datetime.now(UTC)
    begin, end = past(since, "--from", now), past(until, "--to", now) if until is not None else None
    step_s = duration_s(step, "--step") if step is not None else None
    chosen = [name.strip() for name in series.split(",") if name.strip()]
    if not chosen and not csv and not session.output.as_json:
        chosen = [str(name) for name in (_SHOWN if by == "service" else (SeriesName.REQUESTS, SeriesName.LATENCY_P95))]
    history = session.client.metrics.history(
        service,
        series=chosen,
        by=by,
        since=begin,
        until=end,
        step_s=step_s if step_s or csv or session.output.as_json else _step_s((end or now) - begin),
    )
    if csv:
        session.output.raw(metric_csv(history).rstrip("\n"))
    elif session.output.as_json:
        session.output.record(history)
    else:
        session.output.table(_rows(history), _columns(history), empty="nothing is known of this interval")
    if history.left_out:
        session.output.note(f"{history.left_out} more {by}s with fewer requests are not shown")


def top(session: Session, project: OfProject = None) -> None:
    """Show the traffic of services in the last minute; those without any are left out."""
    now = session.client.metrics.now(project=project)
    empty = "no traffic in the last minute" if now.heard else "no app-proxy was heard in the last minute"
    session.output.table(sorted(now.items, key=lambda one: -one.requests_per_second), _NOW, empty=empty)


def _step_s(asked: timedelta) -> int:
    """Return a step that makes a screen of lines."""
    sought_s = asked.total_seconds() / _SOUGHT_LINES
    return next((step_s for step_s in _STEPS_S if step_s >= sought_s), _STEPS_S[-1])


def _rows(history: MetricHistory) -> list[_Row]:
    """Return the steps in which something is known."""
    steps = enumerate(zip(*(one.values for one in history.series), strict=True))
    begin, step = history.since.astimezone(UTC), timedelta(seconds=history.step_s)
    return [
        _Row(time=(begin + number * step).strftime("%Y-%m-%d %H:%M:%S"), values=values)
        for number, values in steps
        if any(value is not None for value in values)
    ]


def _columns(history: MetricHistory) -> Columns[_Row]:
    shown = [(at, one) for at, one in enumerate(history.series) if one.reason is None]
    columns: list[tuple[str, Callable[[_Row], object]]] = [("TIME", lambda row: row.time)]
    columns += [(_heading(one), _cell(at, one.unit)) for at, one in shown]
    return columns


def _heading(series: MetricSeries) -> str:
    heading = _HEADINGS.get(series.name)
    if heading is None:
        return column_name(series).upper()
    whose = series.label or (str(series.id)[-12:] if series.id is not None else "")
    return f"{heading} {whose}".rstrip()


def _cell(at: int, unit: str) -> Callable[[_Row], object]:
    return lambda row: _seconds(row.values[at]) if unit == "s" else _number(row.values[at])


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.2f} s"
