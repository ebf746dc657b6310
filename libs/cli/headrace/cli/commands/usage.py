"""`headrace usage`: requests, tokens, and hours of GPUs, cores and memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer

from headrace.cli.command import Commands, command
from headrace.cli.commands.flags import OfProject
from headrace.cli.commands.suggestions import complete_service
from headrace.cli.output import Columns
from headrace.cli.parsing import past
from headrace.cli.session import Session
from headrace.common.contracts.http.usage import UsageItem, UsageReport
from headrace.common.contracts.usage_csv import usage_csv
from headrace.common.contracts.vocabulary import UsageBy, UsageStep

_STEPS: dict[UsageStep, str] = {"hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "usage")(usage)


def usage(
    session: Session,
    project: OfProject = None,
    service: Annotated[
        str | None,
        typer.Option("--service", metavar="SERVICE", help="Only of this service.", autocompletion=complete_service),
    ] = None,
    by: Annotated[UsageBy | None, typer.Option("--by", help="A line for each of these.")] = None,
    step: Annotated[UsageStep | None, typer.Option("--step", help="A line for each interval (UTC).")] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="24h, 2027-12-31 or a time; this month if not given.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="As --from; now if not given.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Show usage: requests and tokens of callers, hours of GPUs, cores and memory of replicas."""
    now = datetime.now(UTC)
    report = session.client.usage.report(
        project=project,
        service=service,
        by=by,
        step=step,
        since=past(since, "--from", now) if since is not None else None,
        until=past(until, "--to", now) if until is not None else None,
    )
    if csv:
        session.output.raw(usage_csv(report).rstrip("\n"))
    elif session.output.as_json:
        session.output.record(report)
    else:
        session.output.table(report.items, _columns(report), empty="nothing was used")


def _columns(report: UsageReport) -> Columns[UsageItem]:
    columns: list[tuple[str, Callable[[UsageItem], object]]] = []
    if report.step is not None:
        form = _STEPS[report.step]
        columns.append((report.step.upper(), lambda item: item.at.astimezone(UTC).strftime(form)))
    if report.by is not None:
        columns.append((report.by.upper(), _name))
    if report.by in {"revision", "token", "client"}:
        columns.append(("SERVICE", lambda item: item.service or "-"))
    columns += [
        ("REQUESTS", lambda item: item.requests),
        ("ERRORS", lambda item: item.errors),
        ("REFUSED", lambda item: item.refused),
        ("TOKENS IN", lambda item: item.prompt_tokens),
        ("TOKENS OUT", lambda item: item.completion_tokens),
        ("ESTIMATED", lambda item: item.estimated_tokens),
        ("AUDIO S", lambda item: f"{item.audio_seconds:.0f}"),
        ("GPU H", lambda item: _hours(item.gpu_hours)),
        ("CPU H", lambda item: _hours(item.cpu_hours)),
        ("GIB H", lambda item: _hours(item.memory_gib_hours)),
    ]
    return columns


def _name(item: UsageItem) -> str:
    return item.name or (str(item.id) if item.id is not None else "-")


def _hours(hours: float | None) -> str:
    return "-" if hours is None else f"{hours:.2f}"
