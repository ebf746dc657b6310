"""`headrace resource-group …`: sets of machines."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Yes, confirmed
from headrace.cli.commands.suggestions import complete_group, complete_project
from headrace.cli.commands.unset import emptied, unset_flag
from headrace.cli.output import Columns
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.common.contracts.http.resource_groups import ResourceGroupView, UpdateResourceGroup

Name = Annotated[str, typer.Argument(metavar="GROUP", help="Lower-case letters, digits and hyphens.")]
Existing = Annotated[
    str,
    typer.Argument(metavar="GROUP", help="Lower-case letters, digits and hyphens.", autocompletion=complete_group),
]
Projects = Annotated[
    list[str] | None,
    typer.Option(
        "--project",
        "-p",
        metavar="PROJECT",
        help="Only this project may use it. Repeatable; replaces all others.",
        autocompletion=complete_project,
    ),
]


def _projects(group: ResourceGroupView) -> str:
    return "all" if group.projects is None else ", ".join(group.projects) or "none that you see"


_COLUMNS: Columns[ResourceGroupView] = (
    ("NAME", lambda g: g.name),
    ("PROJECTS", _projects),
    ("CREATED", lambda g: g.created_at),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"create": create, "ls": ls, "update": update, "rm": rm})


@changing
def create(session: Session, name: Name, project: Projects = None) -> None:
    """Create a resource group (operators). Machines join it: headrace agent join-token --group GROUP, or agent move."""
    _show(session, session.client.resource_groups.create(name, projects=project))


def ls(session: Session) -> None:
    """List the resource groups, which services name by --resource-group."""
    session.output.table(session.client.resource_groups.list(), _COLUMNS, empty="no resource groups")


@changing
def update(
    session: Session,
    name: Existing,
    project: Projects = None,
    unset: Annotated[list[str] | None, unset_flag(("projects",))] = None,
) -> None:
    """Set which projects may use a resource group (operators). What runs there goes on; what starts later waits."""
    given: dict[str, Any] = {**emptied(unset, {"projects": "projects"})}
    if project:
        given["projects"] = project
    if not given:
        raise usage("found nothing to change; allowed: --project, --unset projects")
    _show(session, session.client.resource_groups.update(name, UpdateResourceGroup.model_validate(given)))


def _show(session: Session, group: ResourceGroupView) -> None:
    session.output.facts(group, (("name", group.name), ("projects", _projects(group)), ("created", group.created_at)))


@changing
def rm(session: Session, name: Existing, yes: Yes = False) -> None:
    """Delete a resource group without machines and services (operators)."""
    confirmed(f"delete the resource group {name}?", yes=yes)
    session.client.resource_groups.delete(name)
    session.output.done(f"deleted the resource group {name}", deleted=name)
