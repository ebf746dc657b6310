"""`headrace restore`: a backup is checked, or brought back onto an empty installation."""

from __future__ import annotations

import asyncio
import hmac
from pathlib import Path
from typing import Annotated

import typer

from headrace.backup.archive import Reader
from headrace.backup.errors import BackupError
from headrace.backup.restore import check_schema
from headrace.backup.restore import restore as bring_back
from headrace.cli.command import Commands, command
from headrace.cli.commands.backup_view import facts_of
from headrace.cli.commands.installations import (
    MANAGER_KEY,
    Config,
    Data,
    Installation,
    installation_of,
    local_data,
)
from headrace.cli.errors import CliError
from headrace.cli.session import Session
from headrace.common.runtime.files import write_atomically
from headrace.common.runtime.secrets_keys import SECRET_KEY_ID
from headrace.embedded.credentials import MANAGER_SECRETS_KEYS
from headrace.embedded.state import read_state


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "restore")(restore)


def restore(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    check: Annotated[
        bool, typer.Option("--check", help="Only read the whole file and say whether it can be restored.")
    ] = False,
    config: Config = None,
    data: Data = None,
) -> None:
    """Check a backup, or bring it back onto an empty installation: all of it, or nothing.

    An installation is empty before its managers have started, or after a start with nothing made in it; none of them may run
    meanwhile. On own servers make its files by `headrace init DIR --from FILE` first, so that it has the same keys.
    """
    try:
        with Reader(file) as reader:
            check_schema(reader)
            if not check:
                there = installation_of(session, config=config, data=data)
                asyncio.run(_restore(there, reader))
            facts = facts_of(file, file.stat().st_size, reader.manifest, reader.end, reader.secrets, restored=not check)
    except BackupError as error:
        raise CliError(str(error)) from None
    facts.show(session.output)
    session.output.line("the backup is whole" if check else "restored; start the managers")


async def _restore(there: Installation | Path, reader: Reader) -> None:
    if isinstance(there, Installation):
        _check_key(there, reader)
        await bring_back(reader, database_url=there.database_url, folders_root=there.folders_root)
        return
    if read_state(there) is not None:
        raise BackupError(f"a stack runs on {there}; stop it first: headrace down --data {there}")
    async with local_data(there, new=True) as found:
        before = found.secret_key
        try:
            await bring_back(
                reader,
                database_url=found.database_url,
                folders_root=found.folders_root,
                before_commit=lambda: _take_keys(found, reader),
            )
        except BaseException:
            if found.credentials is not None and before is not None:
                found.credentials.put(MANAGER_KEY, before)
                found.credentials.put_keys(MANAGER_SECRETS_KEYS, found.secrets_keys)
            raise


def _check_key(there: Installation, reader: Reader) -> None:
    if not hmac.compare_digest(there.secret_key or "", reader.secrets.secret_key):
        raise BackupError(
            f"the secret_key in {there.where} is not that of the backup, whose keys it could not read; make the "
            f"installation's files by `headrace init DIR --from {reader.path}`, or set it to the one in secrets.json of the backup"
        )

    if missing := set(reader.secrets.secrets_keys) - {SECRET_KEY_ID} - set(there.secrets_keys):
        ids = ", ".join(sorted(key.partition(":")[0] for key in missing))
        raise BackupError(
            f"secrets_keys in {there.where} lacks the keys {ids} of the backup, whose secrets it could not read; make the "
            f"installation's files by `headrace init DIR --from {reader.path}`, or take them from secrets.json of the backup"
        )


def _take_keys(there: Installation, reader: Reader) -> None:
    if there.credentials is not None:
        there.credentials.put(MANAGER_KEY, reader.secrets.secret_key)
        there.credentials.put_keys(MANAGER_SECRETS_KEYS, reader.secrets.secrets_keys)
    if there.admin_key_file is not None and reader.secrets.admin_key is not None:
        write_atomically(there.admin_key_file, f"{reader.secrets.admin_key}\n")
