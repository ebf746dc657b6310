"""Restoring a backup onto an empty installation: all of it, or nothing.

Files are gathered below `folders_root` first, in a folder of their own. Then one transaction takes all rows, the files get their
places, and it commits. A restore that was killed is repeated by running it again.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from headrace.backup import database
from headrace.backup.archive import DATABASE, FOLDERS, FolderContent, Reader, rows_of
from headrace.backup.errors import BackupError
from headrace.backup.trees import STAGING, TreeReader, top_names
from headrace.common.contracts.problems import Problem
from headrace.common.db.migrate import load_migrations, migrate
from headrace.common.db.pool import Connection
from headrace.common.runtime.disk import free_bytes, in_words, is_full
from headrace.common.runtime.files import sync_folder, write_atomically
from headrace.common.runtime.removal import remove_tree

_FILES: Final = "files"
_MOVED: Final = "moved.json"
_NAMED: Final = 5


def check_schema(reader: Reader) -> None:
    """Raise BackupError if the backup is of another schema than this version of Headrace has."""
    known = {migration.number: migration.checksum for migration in load_migrations()}
    found = reader.manifest
    if found.schema_checksums != known:
        raise BackupError(
            f"{reader.path} has schema {found.schema_number} of Headrace {found.version}, and this version has schema "
            f"{max(known)}; restore it with the version that made it, and upgrade afterwards"
        )


async def restore(
    reader: Reader, *, database_url: str, folders_root: Path, before_commit: Callable[[], None] = lambda: None
) -> None:
    """Bring everything back. `before_commit` is called when all is in its place, for what else follows from it.

    Raises BackupError, with nothing changed (but that an empty database may have got its tables).
    """
    check_schema(reader)
    try:
        async with database.connected(database_url) as connection:
            await _prepared(connection, reader, database_url)
            with _staged(folders_root, reader) as staging:
                await asyncio.to_thread(_unpack, reader, staging / _FILES)
                async with connection.transaction():
                    await database.make_empty(connection, reader.manifest.tables)
                    await _read_tables(connection, reader)
                    await database.finish(connection)
                    made = reader.manifest
                    await database.record(
                        connection, "installation.restored", made_at=made.made_at.isoformat(), sha256=reader.end.sha256
                    )
                    await _check_references(connection, reader, folders_root)
                    await asyncio.to_thread(_move, staging, folders_root)
                    before_commit()
    except OSError as error:
        raise BackupError(_words(folders_root, error)) from None


async def _prepared(connection: Connection, reader: Reader, url: str) -> None:
    """Give an empty database its tables; raise BackupError for one of another version, or with something in it."""
    applied = await database.migrations(connection)
    if not applied:
        try:
            await migrate(url)
        except Problem as problem:
            raise BackupError(f"{problem.title}: {problem.detail}") from None
    elif applied != reader.manifest.schema_checksums:
        raise BackupError(
            f"the database has schema {max(applied)}, and {reader.path} has schema {reader.manifest.schema_number}; "
            "use an empty database, or one that was migrated by the same version"
        )
    await database.check_empty(connection)


async def _read_tables(connection: Connection, reader: Reader) -> None:
    entries = await asyncio.to_thread(lambda: _parts(reader))
    waiting = await asyncio.to_thread(next, entries, None)

    async def parts(table: str) -> AsyncIterator[bytes]:
        nonlocal waiting
        while waiting is not None and waiting[0] == table:
            yield waiting[1]
            waiting = await asyncio.to_thread(next, entries, None)

    async with database.without_triggers(connection, reader.manifest.tables):
        for table, columns in reader.manifest.tables.items():
            rows = await database.read_rows(connection, table, columns, parts(table))
            if rows != reader.end.rows.get(table):
                raise BackupError(f"{reader.path} has {rows} rows of {table}, and says {reader.end.rows.get(table)}")
    if waiting is not None:
        raise BackupError(f"{reader.path} has rows of {waiting[0]!a} out of order")


def _parts(reader: Reader) -> Iterator[tuple[str, bytes]]:
    """Yield (table, rows) of each part."""
    for info, content in reader.entries():
        if not info.name.startswith(DATABASE):
            return
        if content is not None:
            yield info.name.removeprefix(DATABASE).rpartition("/")[0], rows_of(info, content)


def _unpack(reader: Reader, into: Path) -> None:
    facts = into.parent.parent.stat()
    tree = TreeReader(into, (facts.st_uid, facts.st_gid))
    try:
        for info, content in reader.entries():
            if info.name.startswith(FOLDERS):
                tree.put(info, content)
    finally:
        tree.close()
    os.sync()  # of a hundred thousand files each would have to be waited for


async def _check_references(connection: Connection, reader: Reader, root: Path) -> None:
    """Raise BackupError if a folder of a backup without files is not on the storage."""
    if reader.manifest.folders is FolderContent.WHOLE:
        return
    missing = [name async for name in database.folder_ids(connection) if not (root / name).is_dir()]
    if missing:
        raise BackupError(
            f"the backup holds no files, and {len(missing)} of its folders are not below {root}: "
            f"{', '.join(missing[:_NAMED])}{', …' if len(missing) > _NAMED else ''}; bring the storage back first, "
            "or make an empty folder of this name where the files are lost"
        )


@contextmanager
def _staged(root: Path, reader: Reader) -> Iterator[Path]:
    """Yield an empty folder below `root`, which is removed at the end. Raises BackupError if `root` holds other files."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = root / STAGING
    _undo(staging, root)
    if reader.manifest.folders is FolderContent.WHOLE:
        if found := sorted(islice(top_names(root), 100))[:3]:
            raise BackupError(f"{root} is not empty (found {', '.join(found)}); allowed: an empty folder")
        if (free := free_bytes(root)) < reader.end.folder_bytes:
            raise BackupError(
                f"the disk of {root} has {in_words(free)} free, and the backup's folders need "
                f"{in_words(reader.end.folder_bytes)}"
            )
    staging.mkdir(mode=0o700)
    try:
        (staging / _FILES).mkdir(mode=0o700)
        yield staging
    except BaseException:
        _undo(staging, root)
        raise
    remove_tree(staging)


def _move(staging: Path, root: Path) -> None:
    """Give the gathered files their places. After an error, or a kill, `_undo` takes them away again."""
    names = [entry.name for entry in os.scandir(staging / _FILES)]
    write_atomically(staging / _MOVED, json.dumps(names))
    for name in names:
        (staging / _FILES / name).rename(root / name)
    sync_folder(root)


def _undo(staging: Path, root: Path) -> None:
    """Remove what a restore that did not end has left; there is nothing else below `root` then."""
    if not staging.is_dir():
        return
    if (moved := staging / _MOVED).exists():
        for name in json.loads(moved.read_text()):
            if (path := root / name).is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                path.unlink(missing_ok=True)
    remove_tree(staging)


def _words(root: Path, error: OSError) -> str:
    if is_full(error):
        return f"the disk of {root} is full: {in_words(free_bytes(root))} free; nothing was restored"
    return f"{error.filename or root} cannot be used: {error.strerror or error}"
