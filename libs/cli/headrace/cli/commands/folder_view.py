"""How folders are shown."""

from __future__ import annotations

from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.cli.text import size
from headrace.common.contracts.http.folders import FolderView
from headrace.common.text.counting import count
from headrace.sdk.errors import HeadraceError


def _reference(folder: FolderView) -> str:
    """Return the name by which the caller's projects know the folder."""
    return f"{folder.project}/{folder.name}" if folder.shared_to_caller else folder.name


def _shared(folder: FolderView) -> str:
    """Return with whom a folder is shared; of one that is shared with the caller what she may do."""
    if folder.shared_to_caller:
        return f"to {folder.permission}"
    said = ["all projects"] if folder.shared_with_all else []
    said += [count(folder.shared_with, "share")] if folder.shared_with else []
    return " and ".join(said) or "-"


COLUMNS: Columns[FolderView] = (
    ("NAME", _reference),
    ("USAGE", lambda f: f.usage_mode),
    ("SIZE", lambda f: size(f.size_bytes)),
    ("FILES", lambda f: f"{f.files:,}"),
    ("SHARED", _shared),
    ("SOURCE", lambda f: f.source or "-"),
    ("CREATED", lambda f: f.created_at),
    ("ID", lambda f: f.id),
)


def _used_by(folder: FolderView) -> str | None:
    """Return the services that mount a folder; None where the answer does not say."""
    if folder.used_by_count is None:
        return None
    names = [
        one.service if one.project == folder.project else f"{one.service} of {one.project}"
        for one in folder.used_by or ()
    ]
    others = folder.used_by_count - len(names)
    return ", ".join([*names, *([f"{others:,} more" if names else count(others, "service")] if others else [])]) or "-"


def _project_of(session: Session, folder: FolderView) -> str:
    """Return the project's name, or its id if the name cannot be fetched."""
    if folder.project:
        return folder.project
    try:  # a manager of an earlier version
        return session.client.projects.get(str(folder.project_id)).name
    except HeadraceError:
        return str(folder.project_id)


def show_folder(session: Session, folder: FolderView) -> None:
    """Print a folder."""
    session.output.facts(
        folder,
        (
            ("name", folder.name),
            ("id", folder.id),
            ("usage", folder.usage_mode),
            ("project", _project_of(session, folder)),
            ("size", f"{size(folder.size_bytes)} in {count(folder.files, 'file')}"),
            ("shared", _shared(folder)),
            *(() if (used := _used_by(folder)) is None else (("used by", used),)),
            ("created", folder.created_at),
        ),
    )
