"""Every named statement is valid on the migrated schema, and every one is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.common.db.pool import Pool
from headrace.common.db.queries import Queries

ROOT = Path(__file__).parents[3]
FILES = sorted(
    path
    for part in ("services", "libs")
    for path in (ROOT / part).rglob("*.sql")
    if "migrations" not in path.parts and path.name != "schema.sql"
)


def test_there_are_stores() -> None:
    assert len(FILES) > 5


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_every_query_can_be_prepared(path: Path, pool: Pool) -> None:
    async with pool.acquire() as con:
        for name, statement in Queries.read(path).items():
            try:
                await con.prepare(statement)
            except Exception as error:
                raise AssertionError(f"{path.name}: {name}: {error}") from error


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_query_is_used_beside_it(path: Path) -> None:
    source = path.with_suffix(".py").read_text()
    unused = [name for name, _ in Queries.read(path).items() if f"SQL.{name}" not in source]
    assert not unused, f"{path.name} holds statements that {path.stem}.py does not use: {unused}"
