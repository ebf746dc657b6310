"""Making a backup while the installation serves.

All rows are of one moment (one snapshot of the database). Files are read after it: uploads replace files and never write into
them, so that each is whole; one that was replaced meanwhile comes in its newer version.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, Final

from headrace.backup import database
from headrace.backup.archive import END, MANIFEST, SECRETS, End, FolderContent, Manifest, Secrets, Writer
from headrace.backup.errors import BackupError
from headrace.backup.trees import Packed, TreeWriter
from headrace.common.db.migrate import load_migrations
from headrace.common.db.pool import Connection
from headrace.common.runtime.disk import in_words, is_full

STANDARD_OUTPUT: Final = Path("-")


async def make_backup(
    file: Path, *, database_url: str, folders_root: Path, secrets: Secrets, folders: FolderContent, now: datetime
) -> tuple[Manifest, End, int]:
    """Write a backup to `file` (`-`: standard output), and return what it is, what it holds, and its size.

    A file that is there is replaced once the new one is whole. Raises BackupError, with nothing left behind.
    """
    with _opened(file) as out:
        writer = Writer(out)
        async with database.connected(database_url) as connection:
            applied = await _checked_schema(connection)
            # first, so that it is known who took all keys, even if the file was not finished
            await database.record(connection, "installation.backup-started", folders=str(folders))
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                manifest = await _manifest(connection, applied, folders, now)
                await asyncio.to_thread(writer.document, MANIFEST, manifest)
                await asyncio.to_thread(writer.document, SECRETS, secrets)
                rows = {
                    table: await database.write_rows(connection, table, columns, writer)
                    for table, columns in manifest.tables.items()
                }
                folder_count = await database.count_folders(connection)
        packed = await asyncio.to_thread(_write_folders, writer, folders_root, folders)
        end = End(
            sha256=writer.sha256(),
            rows=rows,
            folder_count=folder_count,
            files=packed.files,
            folder_bytes=packed.bytes,
            left_out=packed.left_out,
            changed=packed.changed,
        )
        await asyncio.to_thread(_finish, writer, end)
    with suppress(BackupError):  # the file is whole all the same; who watches the age of backups will ask
        async with database.connected(database_url) as connection:
            await database.record(connection, "installation.backed-up", sha256=end.sha256)
    return manifest, end, writer.bytes


async def _checked_schema(connection: Connection) -> dict[int, str]:
    """Return the applied migrations. Raises BackupError if they are not those of this version."""
    applied = await database.migrations(connection)
    known = {migration.number: migration.checksum for migration in load_migrations()}
    if applied != known:
        found = f"schema {max(applied)}" if applied else "no schema"
        raise BackupError(
            f"the database has {found}, and this version of Headrace has schema {max(known)}; use the command line with that schema"
        )
    return applied


async def _manifest(
    connection: Connection, applied: Mapping[int, str], folders: FolderContent, now: datetime
) -> Manifest:
    tables = await database.tables(connection)
    place = await database.order(connection, tables)
    return Manifest(
        made_at=now,
        version=version("headrace"),
        schema_number=max(applied),
        schema_checksums=applied,
        tables={name: tables[name] for name in sorted(tables, key=place.__getitem__)},
        folders=folders,
    )


def _write_folders(writer: Writer, root: Path, folders: FolderContent) -> Packed:
    tree = TreeWriter(writer)
    if folders is FolderContent.WHOLE:
        tree.write(root)
    return tree.packed


def _finish(writer: Writer, end: End) -> None:
    writer.document(END, end)
    writer.close()


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """Yield a new private file, which gets its name at the end; nothing is left of it after an error."""
    if file == STANDARD_OUTPUT:
        if sys.stdout.isatty():
            raise BackupError("a backup holds secrets and is no text; allowed: a file, or `-` with a redirected output")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if file.is_dir():
        raise BackupError(f"{file} is a folder; allowed: the name of a file, as {file}/headrace.tar")
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as out:
            yield out
            out.flush()
            os.fsync(fd)
        new.replace(file)
    except OSError as error:
        raise BackupError(_words(file, error, new)) from None
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)


def _words(file: Path, error: OSError, new: Path) -> str:
    if is_full(error):
        found = os.statvfs(file.parent)
        return f"the disk of {file} is full: {in_words(found.f_bavail * found.f_frsize)} free; the backup needs more"
    if error.filename not in {None, str(new)}:
        return f"{error.filename} cannot be used: {error.strerror or error}"
    if not file.parent.is_dir():
        return f"{file} cannot be made: there is no folder {file.parent}"
    return f"{file} cannot be made: {error.strerror or error}"
