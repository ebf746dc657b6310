"""The connection pool."""

from __future__ import annotations

import pytest

from headrace.common.db.pool import open_pool
from headrace.embedded.stack import EmbeddedServers


async def test_nobody_waits_for_a_free_connection_without_a_bound(servers: EmbeddedServers) -> None:
    async with open_pool(servers.database_url, size=1, acquire_s=0.05) as pool, pool.acquire() as con:
        with pytest.raises(TimeoutError):
            await pool.acquire()
        with pytest.raises(TimeoutError):
            await pool.fetchval("select 1")
        assert await con.fetchval("select 1") == 1
    assert pool.is_closing()
