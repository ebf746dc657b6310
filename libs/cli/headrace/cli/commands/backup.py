"""`headrace backup`: the database, keys and model folders of an installation in one file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from headrace.backup.archive import FolderContent, Secrets
from headrace.backup.errors import BackupError
from headrace.backup.make import STANDARD_OUTPUT, make_backup
from headrace.cli.command import Commands, command
from headrace.cli.commands.backup_view import BackupFacts, facts_of
from headrace.cli.commands.installations import Config, Data, Installation, installation_of, local_data
from headrace.cli.errors import CliError
from headrace.cli.session import Session


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "backup")(backup)


def backup(
    session: Session,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The backup; an older one of this name is replaced at the end. `-`: standard output."
        ),
    ],
    config: Config = None,
    installation: Annotated[
        Path | None,
        typer.Option(
            "--installation",
            metavar="DIR",
            help="Folder of `headrace init`, whose secrets go into the backup; by default the one that the settings lie in.",
        ),
    ] = None,
    folders: Annotated[
        FolderContent,
        typer.Option(
            "--folders", help="Model folders: with all files, or by reference, if the storage has copies of its own."
        ),
    ] = FolderContent.WHOLE,
    data: Data = None,
) -> None:
    """Back up an installation into one file: database, keys, model folders; it goes on serving meanwhile.

    It runs where a manager could: it needs the database and the model folders, by the managers' settings (--config), or a stack
    of `headrace up` on this machine. The file holds all keys, and is readable by its owner only.
    """
    there = installation_of(session, config=config, data=data)
    try:
        facts = asyncio.run(_backup(there, file, installation, folders))
    except BackupError as error:
        raise CliError(str(error)) from None
    if file == STANDARD_OUTPUT:
        session.output.note(f"{facts.bytes:,} bytes; SHA-256 of the content {facts.sha256}")
        return
    facts.show(session.output)
    session.output.note(
        "the file holds all keys of the installation: keep it as you keep these, and away from this machine"
    )


async def _backup(
    there: Installation | Path, file: Path, installation: Path | None, folders: FolderContent
) -> BackupFacts:
    async with _opened(there) as found:
        secrets = await asyncio.to_thread(_secrets, found, installation)
        manifest, end, size = await make_backup(
            file,
            database_url=found.database_url,
            folders_root=found.folders_root,
            secrets=secrets,
            folders=folders,
            now=datetime.now(UTC),
        )
    return facts_of(file, size, manifest, end, secrets)


@asynccontextmanager
async def _opened(there: Installation | Path) -> AsyncIterator[Installation]:
    if isinstance(there, Installation):
        yield there
    else:
        async with local_data(there, new=False) as found:
            yield found


def _secrets(there: Installation, folder: Path | None) -> Secrets:
    if there.secret_key is None:
        raise BackupError(f"{there.where} has no secret key yet; allowed: an installation that has been started once")
    file = folder / "installation.json" if folder is not None else there.installation_file
    try:
        installation = file.read_text(encoding="utf-8") if file is not None else None
    except OSError as error:
        raise BackupError(f"{file} cannot be read: {error.strerror or error}; allowed: --installation DIR") from None
    return Secrets(
        secret_key=there.secret_key,
        secrets_keys=there.secrets_keys,
        admin_key=_text(there.admin_key_file),
        installation=installation,
    )


def _text(file: Path | None) -> str | None:
    try:
        return file.read_text(encoding="ascii").strip()[:200] if file is not None else None
    except (OSError, UnicodeDecodeError):
        return None
