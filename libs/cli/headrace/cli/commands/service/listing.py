"""`headrace service ls`: by itself, since what the other commands of the noun need takes longer to load than the list."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Commands, command
from headrace.cli.commands.flags import OfProject
from headrace.cli.output import Columns
from headrace.cli.session import Session
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


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "ls")(ls)


def ls(
    session: Session,
    project: OfProject = None,
    status: Annotated[ServiceStatus | None, typer.Option("--status")] = None,
    phase: Annotated[ServicePhase | None, typer.Option("--phase")] = None,
    owner: Annotated[str | None, typer.Option("--owner", metavar="USER")] = None,
    query: Annotated[str | None, typer.Option("--query", "-q", metavar="TEXT", help="Part of the name.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those one created oneself.")] = False,
) -> None:
    """List services."""
    found = session.client.services.list(
        project=project, status=status, phase=phase, owner=owner, q=query, mine=mine or None
    )
    session.output.table(found, SERVICE_COLUMNS, empty="no services")
