"""`headrace resource-group …`: sets of machines."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Yes, confirmed
from headrace.cli.commands.suggestions import complete_group
from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.common.contracts.http.resource_groups import ResourceGroupView

Name = Annotated[str, typer.Argument(metavar="GROUP", help="Lower-case letters, digits and hyphens.")]
Existing = Annotated[
    str,
    typer.Argument(metavar="GROUP", help="Lower-case letters, digits and hyphens.", autocompletion=complete_group),
]
_COLUMNS: Columns[ResourceGroupView] = (("NAME", lambda g: g.name), ("CREATED", lambda g: g.created_at))


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"create": create, "ls": ls, "rm": rm})


@changing
def create(session: Session, name: Name) -> None:
    """Create a resource group (operators). Machines join it: headrace agent join-token --group GROUP."""
    made = session.client.resource_groups.create(name)
    session.output.facts(made, (("name", made.name), ("created", made.created_at)))


def ls(session: Session) -> None:
    """List the resource groups, which services name by --resource-group."""
    session.output.table(session.client.resource_groups.list(), _COLUMNS, empty="no resource groups")


@changing
def rm(session: Session, name: Existing, yes: Yes = False) -> None:
    """Delete a resource group without machines and services (operators)."""
    confirmed(f"delete the resource group {name}?", yes=yes)
    session.client.resource_groups.delete(name)
    session.output.done(f"deleted the resource group {name}", deleted=name)
