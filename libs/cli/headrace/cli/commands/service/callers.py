"""`headrace service callers`: what each caller of a service used, and has left."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from headrace.cli.command import Commands, commands
from headrace.cli.commands.flags import Service
from headrace.cli.output import Columns
from headrace.cli.parsing import duration_s
from headrace.cli.session import Session
from headrace.common.contracts.http.usage import CallerUsage
from headrace.common.contracts.messages.routes import RateLimits

Window = Annotated[
    str, typer.Option("--window", metavar="DURATION", help="Time up to now that is counted, by whole hours.")
]
COLUMNS: Columns[CallerUsage] = (
    ("KIND", lambda caller: caller.kind),
    ("NAME", lambda caller: caller.name or "-"),
    ("ID", lambda caller: caller.id),
    ("REQUESTS", lambda caller: caller.requests),
    ("REFUSED", lambda caller: caller.refused),
    ("TOKENS", lambda caller: caller.tokens),
    ("TODAY", lambda caller: caller.tokens_today),
    ("LEFT TODAY", lambda caller: "-" if caller.left_today is None else caller.left_today),
    ("RESETS", lambda caller: caller.resets_at or "-"),
    ("LEFT OF MINUTE", lambda caller: "-" if caller.left_this_minute is None else caller.left_this_minute),
    ("LIMITS OVER", lambda caller: "-" if caller.limits == RateLimits() else caller.limits_scope),
    ("LAST USED", lambda caller: caller.last_used_at or "-"),
)


def register(app: Commands) -> None:
    """Add the command."""
    commands(app, {"callers": callers})


def callers(
    session: Session,
    service: Service,
    window: Window = "24h",
) -> None:
    """List the tokens and clients that may call a service: what each used, was refused, and has left."""
    found = session.client.usage.callers(service, window=timedelta(seconds=duration_s(window, "--window")))
    session.output.table(found, COLUMNS, empty="no token or client may call it")
