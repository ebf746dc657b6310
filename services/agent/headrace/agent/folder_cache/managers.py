"""HTTP client for the snapshots' files that managers serve, with an access token that it gets over the bus."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from headrace.agent.domain.fetch_requests import Span
from headrace.agent.folder_cache.connection import Body, Connection
from headrace.agent.folder_cache.errors import AccessRefused, FetchFailed, SnapshotRefused
from headrace.agent.folder_cache.threads import in_thread
from headrace.common.contracts.ids import SnapshotId
from headrace.common.contracts.manifest import MAX_MANIFEST_BYTES
from headrace.common.contracts.messages.folder_access import FolderAccess
from headrace.common.contracts.problems import Problem
from headrace.common.contracts.snapshot_files import MANIFEST_PATH, PARTS_PATH, FilePart, FileParts
from headrace.common.runtime.clock import Monotonic

T = TypeVar("T")
_RENEW_AT: Final = 0.8
"""Part of a token's lifetime after which it is renewed."""


class AccessToken:
    """Access token for folders, renewed before it expires."""

    def __init__(self, ask: Callable[[], Awaitable[FolderAccess]], monotonic: Monotonic) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._token = ""
        self._until = 0.0

    async def get(self) -> str:
        """Return a token. Secret. Raises FetchFailed."""
        async with self._asking:
            now = self._monotonic()
            if not self._token or now >= self._until:
                try:
                    access = await self._ask()
                except Problem as problem:
                    raise FetchFailed(f"no manager gives access to folders: {problem.detail}") from problem
                if not access.token:
                    raise FetchFailed(f"the manager gives no access to folders: {access.detail}")
                self._token, self._until = access.token, now + _RENEW_AT * access.expires_in_s
            return self._token

    def drop(self) -> None:
        """Forget it: a manager did not take it."""
        self._token = ""


class ManagerFiles:
    """Client of the managers at `urls`: one that fails is not asked again before the others were.

    `connections`: how many requests run at once, each in a thread. `tls`: how managers are verified.
    """

    def __init__(
        self, urls: Sequence[str], token: AccessToken, tls: ssl.SSLContext | None, *, connections: int
    ) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._token = token
        self._tls = tls
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="folder-fetch")
        self._idle: list[Connection] = []
        self._at = 0

    def next(self) -> None:
        """Ask another manager from now on."""
        self._at += 1

    def rest(self) -> None:
        """Close the connections that no request uses."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def close(self) -> None:
        """End its threads, once their requests are over."""
        self.rest()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def manifest(self, snapshot_id: SnapshotId) -> bytes:
        """Return the snapshot's manifest as it was sent. Raises FetchFailed, SnapshotRefused when it is too large."""

        def take(body: Body) -> bytes:
            if (size := body.size()) > MAX_MANIFEST_BYTES:
                raise SnapshotRefused(f"its manifest has {size} bytes; allowed: {MAX_MANIFEST_BYTES}")
            received = bytearray(size)
            body.fill(memoryview(received))
            return bytes(received)

        return await self._ask("GET", MANIFEST_PATH.format(snapshot_id=snapshot_id), None, take)

    async def parts(self, snapshot_id: SnapshotId, spans: Sequence[Span], take: Callable[[Body], None]) -> None:
        """Ask for the bytes of these spans, which come one after the other, and let `take` read them in a thread.

        Raises FetchFailed, and what `take` raises.
        """
        parts = tuple(FilePart(path=span.wanted.path, offset=span.offset, length=span.length) for span in spans)
        body = FileParts(parts=parts).model_dump_json().encode()
        await self._ask("POST", PARTS_PATH.format(snapshot_id=snapshot_id), body, take)

    async def _ask(self, method: str, path: str, body: bytes | None, take: Callable[[Body], T]) -> T:
        token = await self._token.get()
        connection = self._connection(self._urls[self._at % len(self._urls)])
        asking = partial(connection.ask, method, path, token, body, take)
        try:
            made = await in_thread(self._threads, asking, interrupt=connection.interrupt)
        except FetchFailed as error:
            if isinstance(error, AccessRefused):
                self._token.drop()
            self.next()
            raise
        self._idle.append(connection)
        return made

    def _connection(self, url: str) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.url == url:
                return connection
            connection.close()
        return Connection(url, self._tls)
