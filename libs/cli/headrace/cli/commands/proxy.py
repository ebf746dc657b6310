"""`headrace proxy …`: how further app-proxies join."""

from __future__ import annotations

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.join_token import Ttl, Uses, create_join_token
from headrace.cli.session import Session


def register(app: Commands) -> None:
    """Add the command."""
    commands(app, {"join-token": join_token})


@changing
def join_token(session: Session, ttl: Ttl = "1h", uses: Uses = 1) -> None:
    """Print the line to run on a new machine, by which an app-proxy joins the installation."""
    create_join_token(session, "proxy", ttl, uses)
