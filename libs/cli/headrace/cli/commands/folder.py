"""`headrace folder …`: model folders and the files in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Folder, OfProject, Project, Yes, confirmed
from headrace.cli.commands.folder_view import COLUMNS, show_folder
from headrace.cli.commands.manifest import show_manifest
from headrace.cli.config import state_folder
from headrace.cli.errors import CliError
from headrace.cli.output import Columns
from headrace.cli.parsing import usage
from headrace.cli.progress import TransferProgress
from headrace.cli.session import Session
from headrace.cli.text import clean, size
from headrace.common.contracts.http.folders import CreateFolder, FileView, UploadView
from headrace.common.contracts.vocabulary import UsageMode
from headrace.common.text.counting import count
from headrace.sdk import ApiError, LeftOut, ResumeFile, TreeFile

_MAX_SHOWN = 20
_GONE = 404
_UPLOADS: Columns[UploadView] = (
    ("ID", lambda u: u.id),
    ("PATH", lambda u: u.path),
    ("SIZE", lambda u: size(u.size_bytes)),
    ("RECEIVED", lambda u: size(u.received_bytes)),
    ("BY", lambda u: u.created_by),
    ("WRITTEN", lambda u: u.written_at),
    ("EXPIRES", lambda u: u.expires_at),
)
_FILES: Columns[FileView] = (
    ("PATH", lambda f: f.path + ("/" if f.kind == "directory" else "")),
    ("SIZE", lambda f: {"file": size(f.size_bytes), "directory": "-"}.get(f.kind, f.kind)),
    ("MODIFIED", lambda f: f.modified_at),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(
        app,
        {
            "create": create,
            "ls": ls,
            "show": show,
            "rename": rename,
            "files": files,
            "manifest": manifest,
            "upload": upload,
            "download": download,
            "uploads": uploads,
            "mkdir": mkdir,
            "mv": mv,
            "rm": rm,
        },
    )


@changing
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique in its project.")],
    project: Project = None,
    usage_mode: Annotated[
        UsageMode, typer.Option("--usage", help="model folders are served; data and general ones are mounted beside.")
    ] = "model",
) -> None:
    """Create an empty folder."""
    asked: dict[str, Any] = {"name": name, "usage_mode": usage_mode} | ({"project": project} if project else {})
    show_folder(session, session.client.folders.create(CreateFolder.model_validate(session.with_project(asked))))


def ls(
    session: Session,
    project: OfProject = None,
    usage_mode: Annotated[UsageMode | None, typer.Option("--usage", help="Only those for this use.")] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Those of others that are shared with your projects.")
    ] = False,
) -> None:
    """List folders."""
    found = session.client.folders.list(project=project, usage_mode=usage_mode, shared=shared)
    session.output.table(found, COLUMNS, empty="no shared folders" if shared else "no folders")


def show(session: Session, folder: Folder, project: Project = None) -> None:
    """Show a folder."""
    show_folder(session, session.client.folders.get(folder, project=session.project(project, of=folder)))


@changing
def rename(
    session: Session,
    folder: Folder,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name, unique in its project.")],
    project: Project = None,
) -> None:
    """Rename a folder. Services that mount it go on with it."""
    show_folder(session, session.client.folders.rename(folder, name, project=session.project(project, of=folder)))


def files(
    session: Session,
    folder: Folder,
    path: Annotated[str, typer.Argument(metavar="PATH", help="Directory in the folder.")] = "",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Also what lies below.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Also links and special files, which are not downloaded.")
    ] = False,
    project: Project = None,
) -> None:
    """List the files of a folder."""
    found = session.client.folders.files(
        folder, path, recursive=recursive, everything=everything, project=session.project(project, of=folder)
    )
    session.output.table(found, _FILES, empty="no files")


def manifest(session: Session, folder: Folder, project: Project = None) -> None:
    """List all files of a folder as they are now, with size and SHA-256: what a new revision would pin."""
    show_manifest(session, session.client.folders.manifest(folder, project=session.project(project, of=folder)))


@changing
def upload(
    session: Session,
    folder: Folder,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Files, or directories of which the content is sent.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="PATH", help="Directory in the folder.")] = "",
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Exit with 0 also when something was left out.")
    ] = False,
    skip: Annotated[
        bool, typer.Option("--skip/--no-skip", help="Leave alone what is there with the same size and time of change.")
    ] = True,
    project: Project = None,
) -> None:
    """Upload files and directories. A file is replaced once its upload is complete; repeat the command to resume.

    Small files are sent many per request; interrupted large ones are resumed. A link to a file is sent as that file.
    Links to directories, special files and invalid names are left out and listed, and the exit status is then 1.
    """
    there = session.client.folders.get(folder, project=session.project(project, of=folder))
    with TransferProgress(f"uploading to {there.name}", quiet=session.output.as_json) as shown:
        done = session.client.folders.upload_tree(
            there,
            paths,
            to,
            skip_same=skip,
            progress=shown,
            resume=ResumeFile(state_folder(session.config.environ) / "uploads.json"),
        )
    if done.nothing:
        raise CliError("there are no files in what was given")
    if session.output.as_json:
        session.output.record(
            {
                "folder": there.name,
                "files": [file.path for file in done.files],
                "bytes": done.moved_bytes,
                "skipped": [file.path for file in done.same],
                "directories": list(done.directories),
                "left_out": _rows(done.left_out),
            }
        )
    else:
        session.output.line(
            f"{count(len(done.files), 'file')}, {size(done.moved_bytes)} in {there.name}{_skipped(done.same)}"
        )
    _print_left_out(done.left_out)
    if done.left_out and not allow_partial:
        raise CliError(
            f"{count(len(done.left_out), 'thing')} left out; everything else is there",
            hint="--allow-partial accepts that",
        )


def download(
    session: Session,
    folder: Folder,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="File or directory in the folder; without it: everything.")
    ] = "",
    to: Annotated[Path, typer.Option("--to", metavar="DIRECTORY", help="Where to put it.")] = Path(),
    skip: Annotated[
        bool, typer.Option("--skip/--no-skip", help="Leave alone what is here with the same size and time of change.")
    ] = True,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Exit with 0 also when something was left out.")
    ] = False,
    project: Project = None,
) -> None:
    """Download a file, a directory or everything. Each file is written whole or not at all; repeat the command for the
    rest.

    Small files come many per request. Files keep their modification time, by which existing local copies are
    recognised. Links and special files, which containers may leave, are left out and listed, and the exit status is
    then 1.
    """
    there = session.client.folders.get(folder, project=session.project(project, of=folder))
    if os.path.lexists(to) and not to.is_dir():
        raise CliError(f"--to {to}: found something that is no directory; allowed: a directory, or a new name")
    with TransferProgress(f"downloading from {there.name}", quiet=session.output.as_json) as shown:
        done = session.client.folders.download_tree(there, to, path, skip_same=skip, progress=shown)
    if done.nothing:
        raise CliError(f"{folder} has no files")
    if session.output.as_json:
        session.output.record(
            {
                "folder": there.name,
                "files": [str(file.local) for file in done.files],
                "bytes": done.moved_bytes,
                "skipped": [str(file.local) for file in done.same],
                "left_out": _rows(done.left_out),
            }
        )
    else:
        session.output.line(f"{count(len(done.files), 'file')}, {size(done.moved_bytes)} in {to}{_skipped(done.same)}")
    _print_left_out(done.left_out)
    if done.left_out and not allow_partial:
        raise _incomplete(done.left_out)


def _incomplete(left_out: Sequence[LeftOut]) -> CliError:
    again = [row for row in left_out if not row.lasting]
    if again:
        return CliError(f"{count(len(again), 'file')} did not come; everything else is here", hint="run it again")
    return CliError(
        f"{count(len(left_out), 'thing')} left out; everything else is here", hint="--allow-partial accepts that"
    )


def uploads(
    session: Session,
    folder: Folder,
    cancel: Annotated[
        list[str] | None,
        typer.Option("--cancel", metavar="ID", help="Forget this one and what came of it. Repeatable."),
    ] = None,
    cancel_all: Annotated[bool, typer.Option("--cancel-all", help="Forget all of them.")] = False,
    project: Project = None,
    yes: Yes = False,
) -> None:
    """List the incomplete uploads into a folder, or cancel some.

    Each counts for the project's quota with its whole size, until it is complete, is cancelled, or was idle for two
    days.
    """
    there = session.client.folders.get(folder, project=session.project(project, of=folder))
    found = session.client.folders.uploads(there.id)
    if not cancel and not cancel_all:
        session.output.table(found, _UPLOADS, empty="no uploads that are not complete")
        return
    ids = [str(one.id) for one in found] if cancel_all else list(dict.fromkeys(cancel or ()))
    confirmed(f"cancel {count(len(ids), 'upload')} into {there.name}?", yes=yes)
    cancelled, gone = list[str](), list[str]()
    for upload_id in ids:
        try:
            session.client.folders.cancel_upload(there.id, upload_id)
        except ApiError as error:
            if error.status != _GONE:
                raise
            gone.append(upload_id)
        else:
            cancelled.append(upload_id)
    session.output.done(f"cancelled {count(len(cancelled), 'upload')} into {there.name}", cancelled=cancelled)
    if gone and not cancel_all:  # deleted with the folder, completed meanwhile, or cancelled by another user
        raise CliError(f"there is no upload {', '.join(gone)} into {there.name}")


@changing
def mkdir(
    session: Session,
    folder: Folder,
    path: Annotated[str, typer.Argument(metavar="PATH", help="Of the directory; those above it are made too.")],
    project: Project = None,
) -> None:
    """Make a directory in a folder; nothing happens if it is there."""
    made = session.client.folders.make_directory(folder, path, project=session.project(project, of=folder))
    session.output.done(f"{made.path} is a directory of {folder}", directory=made.path)


@changing
def mv(
    session: Session,
    folder: Folder,
    path: Annotated[str, typer.Argument(metavar="PATH", help="File or directory in the folder.")],
    to: Annotated[str, typer.Argument(metavar="NEW_PATH", help="Its new path, where nothing may be.")],
    project: Project = None,
) -> None:
    """Move or rename a file or directory in a folder. Nothing is replaced; directories above the new path are made."""
    moved = session.client.folders.move(folder, path, to, project=session.project(project, of=folder))
    session.output.done(f"moved {path} to {moved.path} in {folder}", path=moved.path)


def _rows(left_out: Sequence[LeftOut]) -> list[dict[str, str]]:
    return [{"path": row.path, "reason": row.reason} for row in left_out]


def _skipped(there: Sequence[TreeFile]) -> str:
    return f"; {len(there):,} already there" if there else ""


def _print_left_out(left_out: Sequence[LeftOut]) -> None:
    for row in left_out[:_MAX_SHOWN]:
        sys.stderr.write(clean(f"left out {row.path}: {row.reason}") + "\n")
    if len(left_out) > _MAX_SHOWN:
        sys.stderr.write(f"… and {len(left_out) - _MAX_SHOWN:,} more; --json names all\n")


@changing
def rm(
    session: Session,
    folder: Folder,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="One file or directory in it; without it: the whole folder.")
    ] = "",
    project: Project = None,
    yes: Yes = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also a folder that older revisions, or services of other projects, still need."),
    ] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the folder at once, so that it cannot come back.")
    ] = False,
) -> None:
    """Delete a folder, or a file or directory in it. A folder can be restored for a while: `headrace folder restore`."""
    if path and purge:
        raise usage("--purge: found a PATH beside it; allowed: a whole folder; a file or directory is removed at once")
    what = f"{path} in the folder {folder}" if path else f"the folder {folder} and all its files"
    confirmed(f"delete {what}?", yes=yes)
    if path:
        session.client.folders.delete_file(folder, path, project=session.project(project, of=folder))
    else:
        session.client.folders.delete(folder, project=session.project(project, of=folder), force=force, purge=purge)
    restorable = "" if path or purge else " (headrace folder trash lists what can be restored)"
    session.output.done(f"deleted {what}{restorable}", deleted=f"{folder}/{path}" if path else folder)
