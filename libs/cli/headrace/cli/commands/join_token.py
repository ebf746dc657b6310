"""`headrace join-token …`, and what `join-token` of agents, app-proxies and autoscalers share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.output import Columns
from headrace.cli.parsing import lifetime_s
from headrace.cli.session import Session
from headrace.cli.text import moment, until
from headrace.common.contracts.http.joining import CreateJoinToken, JoinTokenView
from headrace.common.contracts.vocabulary import JoinKind

Ttl = Annotated[
    str,
    typer.Option(
        "--ttl", metavar="WHEN", help="For how long, or until when, it can be used: 15m, 7d, 2027-12-31T18:00+02:00."
    ),
]
Uses = Annotated[int, typer.Option("--uses", metavar="N", min=1, help="How many can join with it.")]
_COLUMNS: Columns[JoinTokenView] = (
    ("ID", lambda t: t.id),
    ("FOR", lambda t: t.kind),
    ("GROUP", lambda t: t.resource_group if t.kind == "agent" else "-"),
    ("USED", lambda t: f"{t.used} of {t.uses}"),
    ("BY", lambda t: t.created_by),
    ("EXPIRES", lambda t: until(t.expires_at, datetime.now(UTC))),
    ("REVOKED", lambda t: moment(t.revoked_at) if t.revoked_at else "-"),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"ls": ls, "revoke": revoke})


def ls(session: Session) -> None:
    """List join tokens, without their secrets."""
    session.output.table(session.client.join_tokens.list(), _COLUMNS, empty="no join tokens")


@changing
def revoke(
    session: Session, token_id: Annotated[str, typer.Argument(metavar="ID", help="See: headrace join-token ls.")]
) -> None:
    """Revoke a join token; machines that have joined with it stay."""
    session.client.join_tokens.revoke(token_id)
    session.output.note(f"nobody joins with {token_id} any more; take out who has joined: headrace agent remove")


def create_join_token(session: Session, kind: JoinKind, ttl: str, uses: int, **more: Any) -> None:
    """Create a join token, and print the line to run on the new machine."""
    new = {
        "kind": kind,
        "ttl_s": lifetime_s(f"{ttl}s" if ttl.isdecimal() else ttl, "--ttl", datetime.now(UTC)),
        "uses": uses,
        **more,
    }
    made = session.client.join_tokens.create(CreateJoinToken.model_validate(new))
    if session.output.as_json:
        session.output.record(made)
        return
    session.output.line(made.command)
    many = f"on {uses} machines" if uses > 1 else "on the new machine"
    session.output.note(
        f"run this line {many} before {until(made.expires_at, datetime.now(UTC))}; it holds a secret, and is not shown again"
    )
    session.output.note(f"take it back: headrace join-token revoke {made.id}")
