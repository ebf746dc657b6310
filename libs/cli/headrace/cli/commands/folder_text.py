"""`headrace folder cat|edit`: text files in folders."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath
from typing import Annotated, Final

import click
import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Folder, Project
from headrace.cli.errors import CliError
from headrace.cli.session import Session
from headrace.sdk import ApiError

_MAX_BYTES: Final = 1024 * 1024
"""What the API takes as one file in one request."""
_NOT_FOUND, _PRECONDITION_FAILED = 404, 412
TextPath = Annotated[str, typer.Argument(metavar="PATH", help="Text file in the folder, up to 1 MiB.")]


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"cat": cat, "edit": edit})


def cat(session: Session, folder: Folder, path: TextPath, project: Project = None) -> None:
    """Print a text file of a folder."""
    text, tag = _read(session, folder, path, session.project(project, of=folder))
    if session.output.as_json:
        session.output.record({"path": path, "text": text, "etag": tag})
    else:
        typer.echo(text, nl=False)


@changing
def edit(session: Session, folder: Folder, path: TextPath, project: Project = None) -> None:
    """Edit a text file of a folder in $EDITOR, or begin a new one.

    It is written only if nobody changed it meanwhile; otherwise the edited text is kept in a local file.
    """
    of_project = session.project(project, of=folder)
    before, tag = "", None
    try:
        before, tag = _read(session, folder, path, of_project)
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise
        session.client.folders.get(folder, project=of_project)  # the folder is there, only the file is not
    try:
        after = click.edit(before, extension=PurePosixPath(path).suffix or ".txt", require_save=False)
    except (
        click.ClickException
    ) as failed:  # not the one of the library that runs commands, which would be printed as it is
        raise CliError(
            f"the editor did not end well; nothing was written: {failed.message}",
            hint="the environment's VISUAL or EDITOR says which it is",
        ) from None
    if after is None or after == before:
        session.output.done(f"nothing has changed in {path}", written=False)
        return
    try:
        written = session.client.folders.write(
            folder, path, after.encode(), if_match=tag, only_new=tag is None, project=of_project
        )
    except ApiError as error:
        kept = _keep(path, after)
        if error.status == _PRECONDITION_FAILED:
            raise CliError(
                f"somebody changed {path} meanwhile; nothing was written, and your text is in {kept}",
                hint="compare them, and edit again",
            ) from None
        raise CliError(f"{error}; nothing was written, and your text is in {kept}") from None
    session.output.done(f"wrote {written.size_bytes} bytes to {path} in {folder}", written=True, etag=written.etag)


def _read(session: Session, folder: str, path: str, project: str | None) -> tuple[str, str]:
    """Return the text of a file, and its entity tag."""
    for entry in session.client.folders.files(folder, path, project=project):
        if entry.path == path.strip("/") and entry.size_bytes > _MAX_BYTES:
            raise CliError(f"{path} has {entry.size_bytes} bytes; allowed: at most {_MAX_BYTES}, or folder download")
        break
    content, tag = session.client.folders.read_tagged(folder, path, project=project)
    try:
        return content.decode(), tag
    except UnicodeDecodeError:
        raise CliError(f"{path} is no text in UTF-8", hint="headrace folder download has it as it is") from None


def _keep(path: str, text: str) -> Path:
    name = PurePosixPath(path).name
    with tempfile.NamedTemporaryFile("w", prefix="headrace-", suffix=f"-{name}", delete=False) as file:
        file.write(text)
    return Path(file.name)
