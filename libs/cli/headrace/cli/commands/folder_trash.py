"""`headrace folder trash|restore|purge`: deleted folders."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import OfProject, Project, Yes, confirmed
from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.cli.text import size
from headrace.common.contracts.http.folders import TrashedFolderView

_COLUMNS: Columns[TrashedFolderView] = (
    ("NAME", lambda f: f.name),
    ("USAGE", lambda f: f.usage_mode),
    ("SIZE", lambda f: size(f.stored_bytes)),
    ("FILES", lambda f: f"{f.stored_files:,}"),
    ("DELETED", lambda f: f.deleted_at),
    ("BY", lambda f: f.deleted_by),
    ("PURGED", lambda f: f.purged_at),
    ("ID", lambda f: f.id),
)
Deleted = Annotated[str, typer.Argument(metavar="FOLDER", help="Name or id of a deleted folder.")]


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"trash": trash, "restore": restore, "purge": purge})


def trash(session: Session, project: OfProject = None) -> None:
    """List the deleted folders that can be restored, and when each is removed for good.

    They count for the project's quota until then; `headrace folder purge` makes room.
    """
    session.output.table(session.client.folders.trash(project=project), _COLUMNS, empty="no deleted folders")


@changing
def restore(
    session: Session,
    folder: Deleted,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Under this name; without it that which it had.")
    ] = None,
    project: Project = None,
) -> None:
    """Restore a deleted folder with its files."""
    restored = session.client.folders.restore(folder, name=name, project=session.project(project, of=folder))
    session.output.done(f"restored the folder {restored.name}", folder=restored.name, id=str(restored.id))


@changing
def purge(session: Session, folder: Deleted, project: Project = None, yes: Yes = False) -> None:
    """Remove a deleted folder and its files for good."""
    confirmed(f"remove the deleted folder {folder} and all its files for good?", yes=yes)
    session.client.folders.purge(folder, project=session.project(project, of=folder))
    session.output.done(f"removed the folder {folder} for good", purged=folder)
