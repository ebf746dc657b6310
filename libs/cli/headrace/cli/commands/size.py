"""`headrace size …`: sizes, which are resource presets: named amounts of slots."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Yes, confirmed
from headrace.cli.commands.suggestions import complete_project, complete_size
from headrace.cli.commands.unset import emptied, unset_flag
from headrace.cli.output import Columns
from headrace.cli.parsing import pairs, usage
from headrace.cli.session import Session
from headrace.cli.text import slots
from headrace.common.contracts.http.resource_presets import (
    CreateResourcePreset,
    ResourcePresetView,
    UpdateResourcePreset,
)

Name = Annotated[str, typer.Argument(metavar="SIZE", help="Name or id.", autocompletion=complete_size)]
OwnOf = Annotated[
    str | None,
    typer.Option(
        "--project",
        "-p",
        metavar="PROJECT",
        help="The project whose own size it is; without it one for all projects.",
        autocompletion=complete_project,
    ),
]
Slot = Annotated[
    list[str] | None,
    typer.Option(
        "--slot",
        metavar="NAME=AMOUNT",
        help="cpu=2, mem=4g, cuda.device=1, cuda.shares=0.5. Repeatable; in an update the others stay.",
    ),
]
_COLUMNS: Columns[ResourcePresetView] = (
    ("NAME", lambda s: s.name),
    ("SLOTS", lambda s: slots(s.slots)),
    ("FOR", lambda s: s.project or "all projects"),
    ("DESCRIPTION", lambda s: s.description[:40]),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"create": create, "ls": ls, "show": show, "update": update, "rm": rm})


@changing
def create(
    session: Session,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Unique among those for all projects, or of the project.")
    ],
    slot: Slot = None,
    description: Annotated[str, typer.Option("--description", help="What it is for, in words.")] = "",
    project: OwnOf = None,
) -> None:
    """Create a size: for all projects (operators), or of one project (owners). Services take it by --size."""
    asked = {"name": name, "project": project, "description": description, "slots": pairs(slot or (), "--slot")}
    _show(session, session.client.resource_presets.create(CreateResourcePreset.model_validate(asked)))


def ls(
    session: Session,
    project: Annotated[
        str | None,
        typer.Option(
            "--project",
            "-p",
            metavar="PROJECT",
            help="With its own ones; without it that of `project use`, or those for all projects only.",
            autocompletion=complete_project,
        ),
    ] = None,
) -> None:
    """List the sizes that services of a project may have. Its own ones come before those of the same name for all."""
    found = session.client.resource_presets.list(project=session.project(project))
    session.output.table(found, _COLUMNS, empty="no sizes")


def show(session: Session, size: Name, project: OwnOf = None) -> None:
    """Show a size."""
    _show(session, session.client.resource_presets.get(size, project=project))


@changing
def update(
    session: Session,
    size: Name,
    slot: Slot = None,
    description: Annotated[str | None, typer.Option("--description", help="What it is for, in words.")] = None,
    unset: Annotated[list[str] | None, unset_flag(("description",), of_several="slot=NAME")] = None,
    project: OwnOf = None,
) -> None:
    """Change a size; slots that are not given stay. Services keep the amounts that they have until their next revision."""
    away = [item.removeprefix("slot=") for item in unset or () if item.startswith("slot=")]
    given: dict[str, Any] = emptied(
        [item for item in unset or () if not item.startswith("slot=")], {"description": "description"}
    )
    if away:
        has = session.client.resource_presets.get(size, project=project).slots
        for name in away:
            if name not in has:
                raise usage(f"--unset slot={name}: found none such; allowed: {', '.join(sorted(has))}")
    amounts = {**dict.fromkeys(away), **pairs(slot or (), "--slot")}
    if amounts:
        given["slots"] = amounts
    if description is not None:
        given["description"] = description
    if not given:
        raise usage("found nothing to change; allowed: --slot, --description, --unset")
    _show(
        session,
        session.client.resource_presets.update(size, UpdateResourcePreset.model_validate(given), project=project),
    )


@changing
def rm(session: Session, size: Name, project: OwnOf = None, yes: Yes = False) -> None:
    """Delete a size. Services that have it stay as they are; their next revision needs another one, or slots."""
    confirmed(f"delete the size {size} {f'of {project}' if project else 'for all projects'}?", yes=yes)
    session.client.resource_presets.delete(size, project=project)
    session.output.done(f"deleted the size {size}", deleted=size)


def _show(session: Session, size: ResourcePresetView) -> None:
    session.output.facts(
        size,
        (
            ("name", size.name),
            ("id", size.id),
            ("for", size.project or "all projects"),
            ("description", size.description),
            ("slots", slots(size.slots)),
            ("created", size.created_at),
            ("created by", size.created_by),
            ("updated", size.updated_at),
        ),
    )
