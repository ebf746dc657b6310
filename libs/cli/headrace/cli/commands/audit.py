"""`headrace audit`: the changes in the installation, or in a project."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer

from headrace.cli.command import Commands, command
from headrace.cli.commands.flags import OfProject
from headrace.cli.commands.suggestions import complete_agent, complete_service, complete_user
from headrace.cli.output import Columns
from headrace.cli.parsing import past
from headrace.cli.session import Session
from headrace.common.contracts.http.audit import AuditEntry

_COLUMNS: Columns[AuditEntry] = (
    ("AT", lambda entry: entry.at),
    ("WHO", lambda entry: entry.actor),
    ("FROM", lambda entry: entry.source_address or "-"),
    ("WHAT", lambda entry: entry.action),
    ("PROJECT", lambda entry: entry.project or entry.project_id or "-"),
    ("SERVICE", lambda entry: entry.service or entry.service_id or "-"),
    ("DETAILS", lambda entry: _short(entry.details)),
    ("MESSAGE", lambda entry: entry.message or "-"),
)
_LONGEST_VALUE = 60


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "audit")(audit)


def audit(
    session: Session,
    project: OfProject = None,
    service: Annotated[
        str | None,
        typer.Option("--service", metavar="SERVICE", help="Changes of this service.", autocompletion=complete_service),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option("--agent", metavar="AGENT", help="Changes of this machine.", autocompletion=complete_agent),
    ] = None,
    actor: Annotated[
        str | None,
        typer.Option("--actor", metavar="NAME", help="Changes that this user made.", autocompletion=complete_user),
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="ACTION", help="As agent.cordoned, or 'agent.*' for several.")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="24h, 2027-12-31 or a time.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="As --since.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="NUMBER", min=1, help="Most changes to show.")] = 100,
) -> None:
    """List changes: who, from where, when, what; newest first (operators; owners with --project or --service)."""
    now = datetime.now(UTC)
    found = session.client.audit.list(
        project=project,
        service=service,
        agent=agent,
        actor=actor,
        action=action,
        since=past(since, "--since", now) if since is not None else None,
        until=past(until, "--until", now) if until is not None else None,
    )
    session.output.table(islice(found, limit), _COLUMNS, empty="no changes")


def _short(details: dict[str, object]) -> str:
    """Return the details on one line, long values cut; --json has all."""
    words = (f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in details.items())
    return " ".join(word if len(word) <= _LONGEST_VALUE else word[: _LONGEST_VALUE - 1] + "…" for word in words) or "-"
