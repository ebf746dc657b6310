"""The Docker Engine API over its socket: plain asyncio, so that every call can be bounded and cancelled.

Only what the agent needs. The SDK of the same name blocks a thread per stream and cannot be cancelled.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp

from headrace.agent.runtime.interface import RuntimeUnavailable

_NEWEST = (1, 47)
"""The newest API version whose answers this client was written for; a newer engine still speaks it."""


class EngineError(Exception):
    """The engine refused. `status` is its HTTP status, the text its own words."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Engine:
    """A client of one Docker engine at `unix:///…` or `http://…`."""

    def __init__(self, session: aiohttp.ClientSession, base: str, timeout_s: float) -> None:
        self._session = session
        self._base = base
        self.local = isinstance(session.connector, aiohttp.UnixConnector)
        """Whether its files are this machine's."""
        self._prefix: str | None = None
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    @classmethod
    @asynccontextmanager
    async def open(cls, host: str, *, timeout_s: float) -> AsyncIterator[Engine]:
        """A client, closed on leaving; nothing is asked yet."""
        if host.startswith("unix://"):
            connector: aiohttp.BaseConnector = aiohttp.UnixConnector(host.removeprefix("unix://"), limit=0)
            base = "http://docker"
        else:
            connector = aiohttp.TCPConnector(limit=0)
            base = host.replace("tcp://", "http://").rstrip("/")
        async with aiohttp.ClientSession(connector=connector) as session:
            yield cls(session, base, timeout_s)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        data: bytes | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Return the JSON answer (None when it is empty). Raises EngineError, and RuntimeUnavailable when there is none."""
        try:
            async with self._request(method, await self._path(path), query, body, data, timeout_s) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise RuntimeUnavailable(f"the Docker engine did not answer: {error or type(error).__name__}") from error
        if response.status >= 400:
            raise EngineError(response.status, _message(content))
        return json.loads(content) if content and response.content_type == "application/json" else None

    async def read(self, path: str, *, query: Mapping[str, str], limit: int) -> bytes:
        """Return at most `limit` bytes of an answer. Raises as call(), and EngineError 413 when it is longer."""
        content = bytearray()
        async with self.stream("GET", path, query=query) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > limit:
                    raise EngineError(413, f"more than {limit} bytes")
        return bytes(content)

    async def missing(self, path: str, query: Mapping[str, str]) -> bool:
        """Return whether a HEAD of `path` says 404. Raises RuntimeUnavailable."""
        try:
            async with self._request("HEAD", await self._path(path), query, None, None, None) as response:
                return response.status == 404
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise RuntimeUnavailable(f"the Docker engine did not answer: {error or type(error).__name__}") from error

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: object = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The answer's bytes as they come, without an end in time: the caller bounds it. Raises as call()."""
        try:
            async with self._request(method, await self._path(path), query, body, None, 0.0) as response:
                if response.status >= 400:
                    raise EngineError(response.status, _message(await response.read()))
                yield response.content.iter_any()
        except (aiohttp.ClientError, OSError) as error:
            raise RuntimeUnavailable(f"the Docker engine broke off: {error or type(error).__name__}") from error

    async def _path(self, path: str) -> str:
        if self._prefix is None:
            async with self._request("GET", "/version", None, None, None, None) as response:
                known = tuple(int(part) for part in (await response.json())["ApiVersion"].split("."))
            self._prefix = "/v{}.{}".format(*min(known, _NEWEST))
        return self._prefix + path

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object,
        data: bytes | None,
        timeout_s: float | None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """`timeout_s`: None for the usual one, 0 for none beyond connecting."""
        timeout = self._timeout
        if timeout_s is not None:
            timeout = aiohttp.ClientTimeout(total=timeout_s or None, sock_connect=self._timeout.total)
        sent = json.dumps(body).encode() if body is not None else data
        kind = (
            {"Content-Type": "application/json" if body is not None else "application/x-tar"}
            if sent is not None
            else {}
        )
        return self._session.request(
            method, self._base + path, params=query, data=sent, headers=kind, timeout=timeout, allow_redirects=False
        )


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"]).strip()
    except (ValueError, KeyError, TypeError):
        return content[:1000].decode("utf-8", "replace").strip() or "no reason given"


def filters(**values: list[str]) -> str:
    """Return the `filters` parameter of the engine's lists."""
    return json.dumps(values)
