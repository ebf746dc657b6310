"""Numbered, checksummed migrations, applied once under an advisory lock. Each expands the schema, or contracts it.

An expansion leaves everything that the previous version uses, which may go on or come back; a contraction
(`NNNN_contract_….sql`) takes away what it no longer used. Both are recorded apart, so that a version that does not know
an expansion starts all the same (docs/adr/0033).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from headrace.common.contracts.problems import Problem

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x48454144_52414345  # 'HEADRACE'
_FILE = re.compile(r"^(\d{4})_(contract_)?([a-z0-9_]+)\.sql$")
_REQUIRED: Final = "schema_migrations"
"""Table of what every version that starts must know: the first migrations, and those that contract."""
_EXPANSIONS: Final = "schema_expansions"
"""Table of what a version may find without knowing it."""
_FIRST: Final = 20
"""Migrations up to this one are required whatever they do: versions without the second table look for them in the first."""


_ATTEMPTS: Final = 10
"""Attempts of a migration that PostgreSQL ends because managers at work and it wait for each other."""


class MigrationFailed(Problem):
    """The database does not match these migrations."""

    type, status, title = "migration-failed", 500, "Migration failed"


@dataclass(frozen=True)
class Migration:
    """One migration file."""

    number: int
    name: str
    sql: str
    contracts: bool = False

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def required(self) -> bool:
        """Whether a version that does not know it must not start."""
        return self.contracts or self.number <= _FIRST


def load_migrations(folder: Path = MIGRATIONS) -> list[Migration]:
    """Return all migrations in order. Raises MigrationFailed for a gap or a misnamed file."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.match(path.name)
        if match is None:
            raise MigrationFailed(f"{path.name} is not named NNNN_name.sql or NNNN_contract_name.sql")
        number, contracts, name = match.groups()
        found.append(Migration(int(number), name, path.read_text(encoding="utf-8"), contracts is not None))
    numbers = [m.number for m in found]
    if numbers != list(range(1, len(found) + 1)):
        raise MigrationFailed(f"migration numbers have a gap or a repeat: {numbers}")
    return found


async def migrate(url: str, *, timeout_s: float = 300.0) -> list[int]:
    """Migrate the database and return the numbers applied now.

    Safe to run concurrently. Expansions of a later version are left as they are. Raises MigrationFailed if an applied file was
    changed, or if a later version contracted the schema.
    """
    connection = await asyncpg.connect(url, timeout=10, command_timeout=timeout_s)
    try:
        await connection.execute("select pg_advisory_lock($1)", _LOCK)
        for table in (_REQUIRED, _EXPANSIONS):
            await connection.execute(
                f"create table if not exists {table} ("
                "number integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())"
            )
        required, expansions = [
            {row["number"]: row["checksum"] for row in await connection.fetch(f"select number, checksum from {table}")}  # noqa: S608
            for table in (_REQUIRED, _EXPANSIONS)
        ]
        return await _apply(connection, required, expansions)
    finally:
        await connection.close(timeout=5)


async def _apply(
    connection: asyncpg.Connection[asyncpg.Record], required: Mapping[int, str], expansions: Mapping[int, str]
) -> list[int]:
    migrations = load_migrations()
    if unknown := set(required) - {m.number for m in migrations}:
        raise MigrationFailed(
            f"the database has migrations {sorted(unknown)} that this version does not know, and cannot do without; upgrade Headrace"
        )
    applied = {**expansions, **required}
    done = []
    for migration in migrations:
        if migration.number in applied:
            if applied[migration.number] != migration.checksum:
                raise MigrationFailed(f"migration {migration.number} was changed after it had been applied")
            continue
        await apply(connection, migration)
        done.append(migration.number)
    return done


async def apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    """Apply a migration whole, or not at all, beside managers that work.

    It locks several tables, and they may hold one of those and wait for another: PostgreSQL ends one of the two then. Where
    that is the migration it is tried again.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    f"insert into {_REQUIRED if migration.required else _EXPANSIONS} (number, name, checksum) values ($1, $2, $3)",  # noqa: S608
                    migration.number,
                    migration.name,
                    migration.checksum,
                )
        except asyncpg.DeadlockDetectedError:
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(random.uniform(0.1, 1.0))  # noqa: S311 - no secret
        else:
            return
