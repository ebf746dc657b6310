"""HTTP client for the snapshots' files that managers serve, with an access token that it gets over the bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from headrace.agent.domain.fetch_requests import Span
from headrace.agent.folder_cache.errors import FetchFailed, SnapshotRefused
from headrace.common.contracts.ids import SnapshotId
from headrace.common.contracts.manifest import MAX_MANIFEST_BYTES
from headrace.common.contracts.messages.folder_access import FolderAccess
from headrace.common.contracts.problems import Problem
from headrace.common.contracts.snapshot_files import MANIFEST_PATH, PARTS_PATH, FilePart, FileParts
from headrace.common.runtime.clock import Monotonic

_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
_RENEW_AT: Final = 0.8
"""Part of a token's lifetime after which it is renewed."""
_SHOWN: Final = 200


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
    """Client of the managers at `urls`: one that fails is not asked again before the others were."""

    def __init__(self, http: aiohttp.ClientSession, urls: Sequence[str], token: AccessToken) -> None:
        self._http = http
        self._urls = [url.rstrip("/") for url in urls]
        self._token = token
        self._at = 0

    def next(self) -> None:
        """Ask another manager from now on."""
        self._at += 1

    async def manifest(self, snapshot_id: SnapshotId) -> bytes:
        """Return the snapshot's manifest as it was sent. Raises FetchFailed, SnapshotRefused when it is too large."""
        received = bytearray()
        async with self._asked("GET", MANIFEST_PATH.format(snapshot_id=snapshot_id), None) as response:
            async for data in _read(response):
                received += data
                if len(received) > MAX_MANIFEST_BYTES:
                    raise SnapshotRefused(f"its manifest has more than {MAX_MANIFEST_BYTES} bytes")
        return bytes(received)

    async def parts(self, snapshot_id: SnapshotId, spans: Sequence[Span]) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of these spans, one after the other, exactly as many. Raises FetchFailed."""
        parts = tuple(FilePart(path=span.wanted.path, offset=span.offset, length=span.length) for span in spans)
        body = FileParts(parts=parts)
        left = body.size_bytes
        async with self._asked("POST", PARTS_PATH.format(snapshot_id=snapshot_id), body) as response:
            async for data in _read(response):
                left -= len(data)
                if left < 0:
                    raise FetchFailed(f"{_host(response)} sent more than was asked for")
                yield data
            if left:
                raise FetchFailed(f"{_host(response)} sent {left} bytes too few")

    @asynccontextmanager
    async def _asked(self, method: str, path: str, body: FileParts | None) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self._urls[self._at % len(self._urls)]
        token = await self._token.get()
        try:
            async with self._http.request(
                method,
                url + path,
                data=body.model_dump_json().encode() if body is not None else None,
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    raise await self._refusal(response)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.next()
            words = str(error)[:_SHOWN] or type(error).__name__
            raise FetchFailed(f"{urlsplit(url).netloc}: {words}") from error
        except FetchFailed:
            self.next()
            raise

    async def _refusal(self, response: aiohttp.ClientResponse) -> FetchFailed:
        if response.status == 401:
            self._token.drop()
        said = (await response.content.read(4096)).decode(errors="replace")
        return FetchFailed(f"{_host(response)} answered {response.status}: {_detail(said)}")


async def _read(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for data in response.content.iter_any():
        yield data


def _host(response: aiohttp.ClientResponse) -> str:
    return response.url.authority


def _detail(said: str) -> str:
    """Return what a problem document says; else the beginning of the answer, on one line."""
    try:
        document = json.loads(said)
    except ValueError:
        document = None
    text = document.get("detail") if isinstance(document, dict) else None
    return " ".join(str(text or said).split())[:_SHOWN]
