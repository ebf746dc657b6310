"""`headrace identity …`: identities on the bus, for operators."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from headrace.cli.command import Commands, commands
from headrace.cli.commands.flags import Yes, confirmed
from headrace.cli.commands.suggestions import complete_identity
from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.cli.text import moment, until
from headrace.common.contracts.http.joining import BusIdentityView

_COLUMNS: Columns[BusIdentityView] = (
    ("NAME", lambda i: i.name),
    ("KIND", lambda i: i.kind),
    ("JOINED", lambda i: i.joined_at),
    ("SIGNED", lambda i: i.issued_at),
    ("ENDS", lambda i: until(i.expires_at, datetime.now(UTC))),
    ("REVOKED", lambda i: f"{moment(i.revoked_at)} by {i.revoked_by}" if i.revoked_at else "-"),
    ("WHY", lambda i: i.revoked_reason or "-"),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"ls": ls, "revoke": revoke})


def ls(session: Session) -> None:
    """List the identities that joined or were revoked."""
    session.output.table(session.client.identities.list(), _COLUMNS, empty="no identities")


def revoke(
    session: Session,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="See: headrace identity ls.", autocompletion=complete_identity)
    ],
    message: Annotated[str, typer.Option("--message", "-m", help="Why, for its log and the history.")] = "",
    yes: Yes = False,
) -> None:
    """Revoke an identity: its connections to the bus end, and it is refused. For an agent: agent remove does it too."""
    confirmed(f"Revoke the identity {name}?", yes=yes)
    session.client.identities.revoke(name, reason=message)
    session.output.note(f"{name} is refused by the bus; it comes back by joining with a new join token")
