"""Numbered, checksummed migrations, applied once under an advisory lock. Only expand/contract changes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from headrace.common.contracts.problems import Problem

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x48454144_52414345  # 'HEADRACE'
_FILE = re.compile(r"^(\d{4})_([a-z0-9_]+)\.sql$")


class MigrationFailed(Problem):
    """The database does not match these migrations."""

    type, status, title = "migration-failed", 500, "Migration failed"


@dataclass(frozen=True)
class Migration:
    """One migration file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """Return all migrations in order. Raises MigrationFailed for a gap or a misnamed file."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.match(path.name)
        if match is None:
            raise MigrationFailed(f"{path.name} is not named NNNN_name.sql")
        found.append(Migration(int(match.group(1)), match.group(2), path.read_text(encoding="utf-8")))
    numbers = [m.number for m in found]
    if numbers != list(range(1, len(found) + 1)):
        raise MigrationFailed(f"migration numbers have a gap or a repeat: {numbers}")
    return found


async def migrate(url: str, *, timeout_s: float = 300.0) -> list[int]:
    """Migrate the database and return the numbers applied now.

    Safe to run concurrently. Raises MigrationFailed if an applied file was changed or is unknown here.
    """
    connection = await asyncpg.connect(url, timeout=10, command_timeout=timeout_s)
    try:
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        await connection.execute(
            "create table if not exists schema_migrations ("
            "number integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())"
        )
        rows = await connection.fetch("select number, checksum from schema_migrations")
        return await _apply(connection, {row["number"]: row["checksum"] for row in rows})
    finally:
        await connection.close(timeout=5)


async def _apply(connection: asyncpg.Connection[asyncpg.Record], applied: dict[int, str]) -> list[int]:
    migrations = load_migrations()
    if unknown := set(applied) - {m.number for m in migrations}:
        raise MigrationFailed(
            f"the database has migrations {sorted(unknown)} that this version does not know; upgrade Headrace"
        )
    done = []
    for migration in migrations:
        if migration.number in applied:
            if applied[migration.number] != migration.checksum:
                raise MigrationFailed(f"migration {migration.number} was changed after it had been applied")
            continue
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into schema_migrations (number, name, checksum) values ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.checksum,
            )
        done.append(migration.number)
    return done
