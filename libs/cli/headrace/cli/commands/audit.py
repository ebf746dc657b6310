"""`headrace audit`: the changes in the installation, or in a project."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from headrace.cli.command import Commands, command
from headrace.cli.commands.flags import OfProject
from headrace.cli.commands.suggestions import complete_agent, complete_service, complete_user
from headrace.cli.output import Columns
from headrace.cli.parsing import past, usage
from headrace.cli.session import Session
from headrace.cli.text import clean
from headrace.common.contracts.http.audit import AuditEntry

_COLUMNS: Columns[AuditEntry] = (
    ("ID", lambda entry: entry.id),
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
_SHOWN = 100


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
    limit: Annotated[
        int | None,
        typer.Option("--limit", "-n", metavar="NUMBER", min=1, help=f"Most changes to show (default {_SHOWN})."),
    ] = None,
    show: Annotated[
        str | None, typer.Option("--show", metavar="ID", help="This change, with the states before and after it.")
    ] = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="Write all that match as one CSV file to standard output.")
    ] = False,
) -> None:
    """List changes: who, from where, when, what; newest first (operators; owners with --project or --service)."""
    now = datetime.now(UTC)
    chosen: dict[str, Any] = {
        "project": project,
        "service": service,
        "agent": agent,
        "actor": actor,
        "action": action,
        "since": past(since, "--since", now) if since is not None else None,
        "until": past(until, "--until", now) if until is not None else None,
    }
    if show is not None:
        if csv or limit is not None or any(value is not None for value in chosen.values()):
            raise usage("--show: found other options beside it; allowed: --show ID alone, for one change")
        _show(session, session.client.audit.show(show))
    elif csv:
        if limit is not None or session.output.as_json:
            raise usage("--csv: found --limit or --json beside it; allowed: neither, it writes all that match")
        for piece in session.client.audit.csv(**chosen):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    else:
        found = session.client.audit.list(**chosen)
        session.output.table(islice(found, _SHOWN if limit is None else limit), _COLUMNS, empty="no changes")


def _show(session: Session, entry: AuditEntry) -> None:
    by = [f"key {entry.key or entry.key_id}"] if entry.key_id else []
    by += [f"login {entry.login_id}"] if entry.login_id else []
    told = entry.before is not None or entry.after is not None
    session.output.facts(
        entry,
        (
            ("id", entry.id),
            ("at", entry.at),
            ("who", entry.actor),
            ("by", ", ".join(by) or None),
            ("from", entry.source_address or None),
            ("what", entry.action),
            ("project", entry.project or entry.project_id),
            ("service", entry.service or entry.service_id),
            ("message", entry.message or None),
            *((name, _value(value)) for name, value in entry.details.items() if not (told and isinstance(value, dict))),
        ),
    )
    if not told:
        return
    before, after = _flat(entry.before or {}), _flat(entry.after or {})
    names = sorted(before.keys() | after.keys())
    for name in names:
        session.output.line(clean(f"{name}: {before.get(name, '(none)')} -> {after.get(name, '(none)')}"))
    if not names:
        session.output.line("no setting differs")


def _flat(state: dict[str, Any], above: str = "") -> dict[str, str]:
    """Return the values of a state by their paths; what is not set or empty is left out."""
    found: dict[str, str] = {}
    for name, value in state.items():
        path = f"{above}{name}"
        if isinstance(value, dict):
            found |= _flat(value, f"{path}.")
        elif value not in (None, "", []):
            found[path] = _value(value)
    return found


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(details: dict[str, object]) -> str:
    """Return the details on one line, long values cut; --json has all."""
    words = (f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in details.items())
    return " ".join(word if len(word) <= _LONGEST_VALUE else word[: _LONGEST_VALUE - 1] + "…" for word in words) or "-"
