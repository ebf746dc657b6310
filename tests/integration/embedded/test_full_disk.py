"""Real servers on a disk that is filled to the last byte and freed: they work again without anybody's doing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import nats
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from nats.js.errors import Error as JetStreamError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from headrace.embedded.stack import EmbeddedServers
from tests.support.disk import small_disk
from tests.support.wait import eventually

KIB_4 = b"x" * 4096


async def test_nats_postgres_and_valkey_take_writes_again_once_there_is_room(data: Path) -> None:
    with small_disk(data.with_name("disk"), 400) as disk:
        async with EmbeddedServers(disk.path / "data", durable=False) as servers:
            user, password = servers.nats_user("manager")
            bus = await nats.connect(servers.nats_url, user=user, password=password, max_reconnect_attempts=-1)
            js = bus.jetstream(timeout=2)
            await js.add_stream(StreamConfig(name="S", subjects=["s.*"], max_msgs_per_subject=1))
            con = await asyncpg.connect(servers.database_url)
            await con.execute("CREATE TABLE t (x bytea)")

            async def bus_takes() -> bool:
                try:
                    await js.publish("s.a", KIB_4)
                except (NatsError, JetStreamError, TimeoutError):
                    return False
                return True

            async def table_takes() -> bool:
                try:
                    fresh = await asyncpg.connect(servers.database_url)
                    try:
                        await fresh.execute("INSERT INTO t VALUES ($1)", KIB_4)
                    finally:
                        await fresh.close()
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    return False
                return True

            async def memory_takes() -> bool:
                try:
                    async with Redis.from_url(servers.redis_url) as redis:
                        await redis.set("x", KIB_4)
                except (RedisError, OSError):
                    return False
                return True

            async def refused_by_all() -> bool:
                disk.fill()
                return not any(await asyncio.gather(bus_takes(), memory_takes()))

            assert all(await asyncio.gather(bus_takes(), table_takes(), memory_takes()))
            await eventually(refused_by_all, within_s=60)
            disk.empty()
            for takes in (bus_takes, table_takes, memory_takes):
                await eventually(takes, within_s=60, what=takes.__name__)
            await con.close()
            await bus.close()
