"""Client of Redis (or Valkey): of one server, or of the primary that Sentinels name, whichever that is at the moment.

A module of its own, since the library takes 20 MB and an app-proxy without Redis does without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff

from headrace.common.runtime.redis_urls import SentinelAddress, sentinel_address
from headrace.common.runtime.tls import trusting


def redis_pool(
    url: str, ca_file: Path | None, *, timeout_s: float, retries: int, connections: int, name: str = ""
) -> BlockingConnectionPool:
    """Return a pool of at most `connections`, which connects on first use; who needs one more waits, `timeout_s` at most.

    A command fails after `timeout_s` without an answer, and is tried again `retries` times when its connection broke.
    Raises ValueError, TypeError or RedisError for a URL that cannot be used.
    """
    options: dict[str, Any] = {
        "max_connections": connections,
        "timeout": timeout_s,
        "protocol": 2,
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), retries),
        "health_check_interval": 0,
        **({"client_name": name} if name else {}),
    }
    address = sentinel_address(url)
    if address is None:
        return BlockingConnectionPool.from_url(trusting(url, ca_file), **options)
    return _of_sentinels(address, ca_file, timeout_s, options)


def redis_client(
    url: str, ca_file: Path | None, *, timeout_s: float, retries: int, connections: int, name: str = ""
) -> Redis:
    """Return a client of such a pool, which it closes with itself."""
    return Redis.from_pool(
        redis_pool(url, ca_file, timeout_s=timeout_s, retries=retries, connections=connections, name=name)
    )


class PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary: each new one asks the Sentinels which server that is."""

    async def get_master_address(self) -> tuple[str, int]:
        """Return the primary's address. Raises MasterNotFoundError, in words that fit into one line."""
        try:
            found: tuple[str, int] = await super().get_master_address()  # type: ignore[no-untyped-call]
        except MasterNotFoundError:
            asked = len(self.sentinel_manager.sentinels)
            raise MasterNotFoundError(
                f"none of {asked} Sentinels answers and names a primary of {self.service_name} that is up"
            ) from None
        return found

    async def aclose(self) -> None:
        """Close them, and those to the Sentinels."""
        await super().aclose()
        await self.sentinel_manager.aclose()


def _of_sentinels(
    address: SentinelAddress, ca_file: Path | None, timeout_s: float, options: dict[str, Any]
) -> PrimaryPool:
    tls = {"ssl_ca_certs": str(ca_file)} if address.tls and ca_file is not None else {}
    # One after the other is asked: those that hang together take no longer than one command may.
    each_s = timeout_s / len(address.sentinels)
    sentinels = Sentinel(  # type: ignore[no-untyped-call]
        address.sentinels,
        sentinel_kwargs={
            "username": address.sentinel_username,
            "password": address.sentinel_password,
            "protocol": 2,
            "socket_timeout": each_s,
            "socket_connect_timeout": each_s,
            "retry": Retry(NoBackoff(), 0),
            "ssl": address.tls,
            **tls,
        },
    )
    return PrimaryPool(  # type: ignore[no-untyped-call]
        address.service,
        sentinels,
        connection_class=SentinelManagedSSLConnection if address.tls else SentinelManagedConnection,
        username=address.username,
        password=address.password,
        db=address.db,
        **tls,
        **options,
    )
