"""`headrace token …`: what callers of a service show."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from headrace.cli.command import commands
from headrace.cli.commands.flags import Service
from headrace.cli.output import Columns
from headrace.cli.parsing import duration_s
from headrace.cli.session import Session
from headrace.cli.text import moment
from headrace.common.contracts.http.tokens import CreateToken, TokenView

HELP = "Tokens with which apps call a service."

_COLUMNS: Columns[TokenView] = (
    ("ID", lambda t: t.id),
    ("NAME", lambda t: t.name or "-"),
    ("BY", lambda t: t.created_by),
    ("EXPIRES", lambda t: t.expires_at),
    ("REVOKED", lambda t: moment(t.revoked_at) if t.revoked_at else "-"),
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands(app, {"create": create, "ls": ls, "revoke": revoke})


def create(
    session: Session,
    service: Service,
    name: Annotated[str, typer.Option("--name", help="What it is for.")] = "",
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DURATION", help="For example 12h or 90d (default 30d).")
    ] = None,
) -> None:
    """Make a token and show it, this once."""
    lasting = {"expires_in_s": duration_s(expires, "--expires")} if expires else {}
    made = session.client.tokens.create(service, CreateToken.model_validate({"name": name, **lasting}))
    session.output.facts(made, (("token", made.token), ("id", made.id), ("expires", made.expires_at)))
    session.output.note("it is not shown again")


def ls(session: Session, service: Service) -> None:
    """List a service's tokens, without their secrets."""
    session.output.table(session.client.tokens.list(service), _COLUMNS, empty="no tokens")


def revoke(session: Session, service: Service, token_id: Annotated[UUID, typer.Argument(metavar="TOKEN_ID")]) -> None:
    """Make a token invalid within a second."""
    session.client.tokens.revoke(service, token_id)
    session.output.done(f"the token {token_id} is revoked", revoked=token_id)
