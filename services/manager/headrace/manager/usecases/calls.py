"""Use cases of calls: a member calls a service through the manager, which presents a token of its own.

The web console's chat needs it: a browser has no token of the service, and the endpoint is another origin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from headrace.common.contracts.ids import TokenId, UserId, new_uuid
from headrace.common.contracts.problems import InvalidRequest, TooManyRequests
from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.access import Actor
from headrace.manager.usecases.context import service_for
from headrace.manager.usecases.tokens import SigningKeys

MAX_CALLS: Final = 64
"""Bound on open calls of one manager."""
MAX_CALLS_PER_USER: Final = 8
TOKEN_LIFETIME: Final = timedelta(minutes=5)
"""Of the token that a call presents; app-proxies check it as the call begins."""


@dataclass(frozen=True)
class EndpointAnswer:
    """Successful answer of a service's endpoint: its media type and bytes as they come. `request_id`: as the app-proxy logs it."""

    content_type: str
    request_id: str
    pieces: AsyncIterator[bytes]


class Endpoints(Protocol):
    """Endpoints of services, as callers reach them."""

    def post(self, service: str, path: str, body: bytes, token: str) -> AbstractAsyncContextManager[EndpointAnswer]:
        """Send JSON to a path of a service's endpoint. Leaving ends the request.

        Raises UpstreamFailed for an answer that is no success, or none; UpstreamTimeout.
        """


class Calls:
    """Use cases of calls. Open ones are bounded, in all and for each user."""

    def __init__(self, pool: Pool, keys: SigningKeys, endpoints: Endpoints, clock: Clock) -> None:
        self._pool = pool
        self._keys = keys
        self._endpoints = endpoints
        self._clock = clock
        self._open: Counter[UserId] = Counter()

    @asynccontextmanager
    async def post(self, actor: Actor, reference: str, path: str, body: bytes) -> AsyncIterator[EndpointAnswer]:
        """Call a service of which the caller is a member, and yield its answer. The call ends when this is left.

        Raises InvalidRequest for a path that could leave the service, NotFound, Forbidden, TooManyRequests,
        UpstreamFailed, UpstreamTimeout.
        """
        if any(segment in {"", ".", ".."} for segment in path.split("/")):
            raise InvalidRequest.of("path", path[:200], "names, of which none is empty, . or ..")
        async with transaction(self._pool) as con:
            service = (await service_for(con, actor, reference, "member")).service
            key = await self._keys.current(con)
        now = self._clock()
        token = key.token(service.id, TokenId(new_uuid()), issued_at=now, expires_at=now + TOKEN_LIFETIME)
        with self._counted(actor.user_id):
            async with self._endpoints.post(service.name, path, body, token) as answer:
                yield answer

    @contextmanager
    def _counted(self, user_id: UserId) -> Iterator[None]:
        if self._open[user_id] >= MAX_CALLS_PER_USER:
            raise TooManyRequests(
                f"{MAX_CALLS_PER_USER} calls of yours are open at this manager, which is its limit", retry_after_s=1
            )
        if self._open.total() >= MAX_CALLS:
            raise TooManyRequests(f"{MAX_CALLS} calls are open at this manager, which is its limit", retry_after_s=1)
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]
