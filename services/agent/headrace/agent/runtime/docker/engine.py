"""Client of the Docker Engine API over its socket, in plain asyncio, so that every call can be bounded and cancelled.

It has only the calls that the agent needs. Docker's own SDK blocks a thread per stream and cannot be cancelled.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp

from headrace.agent.runtime.interface import RuntimeUnavailable

_NEWEST = (1, 47)
"""Newest API version for which this client was written; newer engines still speak it."""


class EngineError(Exception):
    """The engine refused a call. `status` is its HTTP status, the text its own message."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Engine:
    """Client of one Docker engine at `unix:///…` or `http://…`."""

    def __init__(self, session: aiohttp.ClientSession, base: str, timeout_s: float) -> None:
        self._session = session
        self._base = base
        self.local = isinstance(session.connector, aiohttp.UnixConnector)
        """Whether the engine's files are on this machine."""
        self._prefix: str | None = None
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    @classmethod
    @asynccontextmanager
    async def open(cls, host: str, *, timeout_s: float) -> AsyncIterator[Engine]:
        """Yield a client, closed on leaving; does not connect yet."""
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
        """Return the JSON answer (None when it is empty).

        Raises EngineError; RuntimeUnavailable when the engine does not answer.
        """
        try:
            async with self._request(method, await self._path(path), query, body, data, timeout_s) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise RuntimeUnavailable(
                f"the Docker engine did not answer: {str(error) or type(error).__name__}"
            ) from error
        if response.status >= 400:
            raise EngineError(response.status, _message(content))
        return json.loads(content) if content and response.content_type == "application/json" else None

    async def read(self, path: str, *, query: Mapping[str, str], limit: int) -> bytes:
        """Return at most `limit` bytes of an answer. Raises as call() does, and EngineError 413 when it is longer."""
        content = bytearray()
        async with self.stream("GET", path, query=query) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > limit:
                    raise EngineError(413, f"more than {limit} bytes")
        return bytes(content)

    async def missing(self, path: str, query: Mapping[str, str]) -> bool:
        """Return whether a HEAD of `path` answers 404. Raises RuntimeUnavailable."""
        try:
            async with self._request("HEAD", await self._path(path), query, None, None, None) as response:
                return response.status == 404
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise RuntimeUnavailable(
                f"the Docker engine did not answer: {str(error) or type(error).__name__}"
            ) from error

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the answer's bytes as they arrive, without a timeout: the caller bounds it. Raises as call() does."""
        try:
            async with self._request(method, await self._path(path), query, body, None, 0.0, headers) as response:
                if response.status >= 400:
                    raise EngineError(response.status, _message(await response.read()))
                yield response.content.iter_any()
        except (aiohttp.ClientError, OSError) as error:
            raise RuntimeUnavailable(f"the Docker engine broke off: {str(error) or type(error).__name__}") from error

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
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request. `timeout_s`: None for the usual one, 0 for none beyond connecting."""
        timeout = self._timeout
        if timeout_s is not None:
            timeout = aiohttp.ClientTimeout(total=timeout_s or None, sock_connect=self._timeout.total)
        sent = json.dumps(body).encode() if body is not None else data
        kind = (
            {"Content-Type": "application/json" if body is not None else "application/x-tar"}
            if sent is not None
            else {}
        )
        every = {**kind, **(headers or {})}
        return self._session.request(
            method, self._base + path, params=query, data=sent, headers=every, timeout=timeout, allow_redirects=False
        )


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"]).strip()
    except (ValueError, KeyError, TypeError):
        return content[:1000].decode("utf-8", "replace").strip() or "no reason given"


def filters(**values: list[str]) -> str:
    """Return the `filters` query parameter of the engine's list calls."""
    return json.dumps(values)
