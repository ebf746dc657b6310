"""`headrace service ls`: by itself, since what the other commands of the noun need takes longer to load than the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from headrace.cli.command import Commands, command
from headrace.cli.commands.flags import OfProject
from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.cli.text import cell
from headrace.common.contracts.http.services import ServiceView
from headrace.common.contracts.vocabulary import ServicePhase, ServiceStatus

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
        str | None, typer.Option("--owner", metavar="USER", help="Only those that this user created: name or id.")
    ] = None,
    query: Annotated[
        str | None, typer.Option("--query", "-q", metavar="TEXT", help="Text in name, description, tags or metadata.")
    ] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those one created oneself.")] = False,
) -> None:
    """List services."""
    found = session.client.services.list(
        project=project, status=status, phase=phase, owner=owner, q=query, mine=mine or None
    )
    listed = list(found)
    session.output.table(listed, SERVICE_COLUMNS, empty="no services")
    if not session.output.as_json:
        for line in _troubles(listed):
            session.output.note(line)


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
