"""`headrace agent join-token`: the line by which a machine joins."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.join_token import Ttl, Uses, create_join_token
from headrace.cli.commands.suggestions import complete_group
from headrace.cli.parsing import pairs
from headrace.cli.session import Session


def register(app: Commands) -> None:
    """Add the command."""
    commands(app, {"join-token": join_token})


@changing
def join_token(
    session: Session,
    group: Annotated[
        str,
        typer.Option("--group", metavar="GROUP", help="Resource group of the machines.", autocompletion=complete_group),
    ] = "default",
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Label of the machines; may be repeated.")
    ] = None,
    ttl: Ttl = "1h",
    uses: Uses = 1,
    docker: Annotated[
        bool, typer.Option("--docker", help="For machines that have Docker only: the line runs the agent's image.")
    ] = False,
) -> None:
    """Print the line to run on a new machine, by which its agent joins the installation."""
    form = {"form": "docker"} if docker else {}
    labels = pairs(label or (), "--label")
    create_join_token(session, "agent", ttl, uses, resource_group=group, labels=labels, **form)
