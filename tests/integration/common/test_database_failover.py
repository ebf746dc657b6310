"""A PostgreSQL primary that dies: its standby is promoted, and who knows both addresses goes on there."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from headrace.common.db.migrate import migrate
from headrace.common.db.pool import Pool, open_pool
from tests.support.postgres_pair import postgres_pair
from tests.support.wait import eventually


async def test_the_promoted_standby_is_written_to_and_has_everything(tmp_path: Path) -> None:
    async with postgres_pair(tmp_path) as pair:
        await migrate(pair.url)
        async with open_pool(pair.url, size=4, acquire_s=5) as pool:
            await pool.execute("create table kept (number int)")
            await pool.execute("insert into kept values (1)")
            await eventually(pair.has_followed)
            await pair.primary.kill()
            await eventually(lambda: _refused(pool))
            assert await pair.standby.run("select pg_promote()")
            await eventually(lambda: _written(pool))
            assert [row["number"] for row in await pool.fetch("select number from kept order by 1")] == [1, 2]


async def _refused(pool: Pool) -> bool:
    """Whether a write fails since no server that is there takes any."""
    try:
        await pool.execute("insert into kept values (0)")
    except ConnectionError as error:
        return str(error).startswith("PostgreSQL at 127.0.0.1:")
    except (asyncpg.PostgresError, asyncpg.InterfaceError):  # of connections that the primary's end cut
        return False
    raise AssertionError("it was written")


async def _written(pool: Pool) -> bool:
    try:
        await pool.execute("insert into kept values (2)")
    except ConnectionError:
        return False
    return True


async def test_a_server_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match=r"PostgreSQL at 127\.0\.0\.1:1,127\.0\.0\.1:2: ") as failed:
        async with open_pool("postgresql://me:secret@127.0.0.1:1,127.0.0.1:2/x"):
            pytest.fail("it opened")
    assert "secret" not in str(failed.value)
