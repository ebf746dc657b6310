"""`headrace service ls`: by itself, since what the other commands of the noun need takes longer to load than the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import typer

from headrace.cli.command import Commands, command
from headrace.cli.commands.flags import OfProject
from headrace.cli.commands.suggestions import complete_agent, complete_folder, complete_user
from headrace.cli.output import Columns
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.cli.text import cell
from headrace.common.contracts.http.services import ServiceView
from headrace.common.contracts.vocabulary import RuntimeVariant, ServicePhase, ServiceSort, ServiceStatus

SERVICE_COLUMNS: Columns[ServiceView] = (
    ("SERVICE", lambda s: s.name),
    ("PROJECT", lambda s: s.project),
    ("STATUS", lambda s: s.status),
    ("PHASE", lambda s: s.phase),
    ("HEALTHY", lambda s: f"{s.healthy_replicas}/{s.replicas}"),
    ("REVISION", lambda s: s.revision),
    ("RUNTIME", lambda s: s.runtime),
    ("UPDATED", lambda s: s.updated_at),
)
WIDE_COLUMNS: Columns[ServiceView] = (
    *SERVICE_COLUMNS,
    ("GROUP", lambda s: s.resource_group),
    ("OWNER", lambda s: s.created_by),
    ("URLS", lambda s: " ".join(one.url for one in s.urls) or s.endpoint),
)
_MAX_NOTES = 10
_MAX_REASON_CHARS = 200
"""Characters of a reason beside the list; `service show` has the whole of it."""


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "ls")(ls)


def ls(
    session: Session,
    project: OfProject = None,
    status: Annotated[
        ServiceStatus | None, typer.Option("--status", help="Only those with this status: whether they can serve.")
    ] = None,
    phase: Annotated[
        ServicePhase | None,
        typer.Option("--phase", help="Only those in this phase: whether they are as they were asked for."),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(
            "--owner",
            metavar="USER",
            help="Only those that this user created: name or id.",
            autocompletion=complete_user,
        ),
    ] = None,
    query: Annotated[
        str | None, typer.Option("--query", "-q", metavar="TEXT", help="Text in name, description, tags or metadata.")
    ] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those one created oneself.")] = False,
    tag: Annotated[str | None, typer.Option("--tag", metavar="TAG", help="Only those with this tag.")] = None,
    runtime: Annotated[
        RuntimeVariant | None, typer.Option("--runtime", help="Only those with this runtime variant.")
    ] = None,
    folder: Annotated[
        str | None,
        typer.Option(
            "--folder",
            metavar="FOLDER",
            help="Only those that mount this folder: name or id.",
            autocompletion=complete_folder,
        ),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            metavar="AGENT",
            help="Only those with a live replica on this machine.",
            autocompletion=complete_agent,
        ),
    ] = None,
    sort: Annotated[
        ServiceSort | None, typer.Option("--sort", help="Order of the list; without it by creation.")
    ] = None,
    descending: Annotated[bool, typer.Option("--desc", help="Newest, last or most first.")] = False,
    output: Annotated[
        Literal["wide"] | None,
        typer.Option("--output", "-o", help="wide: resource group, owner and all URLs, too."),
    ] = None,
    count: Annotated[
        bool, typer.Option("--count", help="Only count them, by status and phase (of more than 2,000 the oldest).")
    ] = False,
) -> None:
    """List services."""
    if count and (sort is not None or descending):
        raise usage("--sort and --desc order a list; leave them out with --count")
    chosen: dict[str, Any] = {"project": project, "status": status, "phase": phase, "owner": owner, "q": query}
    chosen |= {"mine": mine or None, "tag": tag, "runtime": runtime, "folder": folder, "agent": agent}
    if count:
        _count(session, chosen)
        return
    listed = list(session.client.services.list(**chosen, sort=sort, order="desc" if descending else None))
    session.output.table(listed, WIDE_COLUMNS if output else SERVICE_COLUMNS, empty="no services")
    if not session.output.as_json:
        for line in _troubles(listed):
            session.output.note(line)


def _count(session: Session, chosen: dict[str, Any]) -> None:
    counts = session.client.services.counts(**chosen)
    by_status = [(f"status {status}", number) for status, number in counts.by_status.items()]
    by_phase = [(f"phase {phase}", number) for phase, number in counts.by_phase.items()]
    session.output.facts(counts, [("services", counts.counted), *by_status, *by_phase])
    if not counts.complete and not session.output.as_json:
        session.output.note("there are more: only the oldest 2,000 were looked at")


def _troubles(services: Sequence[ServiceView]) -> list[str]:
    """Return a line for each service that is not as it is wanted, with its reason: the first of them."""
    troubled = [s for s in services if s.phase in {"deploying", "failed"} or s.status == "degraded"]
    lines = [cell(f"{service.name}: {_reason(service)}") for service in troubled[:_MAX_NOTES]]
    more = len(troubled) - len(lines)
    return [*lines, f"{more} more are not as wanted: headrace service show NAME says why"] if more else lines


def _reason(service: ServiceView) -> str:
    """Return the reason without the count that the list has a column for, cut to a line."""
    counted = f"{service.healthy_replicas} of {service.replicas} replicas healthy; "
    text = service.reason.text.removeprefix(counted)
    return text if len(text) <= _MAX_REASON_CHARS else f"{text[: _MAX_REASON_CHARS - 1]}…"
