"""HTTP client of model sources: every URL and resolved address is checked against the policy, redirects among them.

A connection goes to the addresses that were checked, without another look-up. Credentials go to the origin that they are
for, and to no redirect elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from headrace.manager.domain.model_source import SourceError, SourceFile
from headrace.manager.domain.source_policy import SourcePolicy

MAX_REDIRECTS: Final = 5
MAX_ANSWER_BYTES: Final = 16 * 2**20
"""Bound on an answer that is read whole: a page of a listing."""
CONNECTIONS: Final = 8
"""Connections of one import, or one look at a source."""
_CONNECT_S: Final = 10.0
_SILENCE_S: Final = 30.0
_READ_BYTES: Final = 2**20
_LONGEST_HEADER: Final = 16 * 1024
_MOVED: Final = {301, 302, 303, 307, 308}
_NO_LINK: Final[Mapping[str, URL | str]] = {}
_TEMPORARY: Final = {408, 425, 429}
_WORDS: Final[Mapping[int, str]] = {
    401: "it needs a credential, or refuses the one for it (model_secret, or the setting model_credentials_file)",
    403: "it refuses access (model_secret, or the setting model_credentials_file, has the credential)",
    404: "it is not there",
    410: "it is gone",
    412: "it has changed since the service took this version",
}


class Web:
    """Session of one look at a source, or one import."""

    def __init__(self, http: aiohttp.ClientSession, policy: SourcePolicy) -> None:
        self._http = http
        self._policy = policy

    @asynccontextmanager
    async def get(
        self, url: str, *, headers: Mapping[str, str] = {}, token: str = ""
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the successful response of a GET. Raises SourceError."""
        home, at = _origin(url), url
        for _ in range(MAX_REDIRECTS + 1):
            if why := self._policy.why_not_url(at):
                raise SourceError(f"{_shown(at)}: {why}", lasting=True)
            sent = dict(headers)
            if token and _origin(at) == home:
                sent["Authorization"] = f"Bearer {token}"
            async with self._opened(at, sent) as response:
                if response.status not in _MOVED:
                    if response.status >= 300:
                        raise _refused(at, response.status)
                    yield response
                    return
                at = urljoin(at, response.headers.get("Location", ""))
        raise SourceError(f"{_shown(url)} redirects more than {MAX_REDIRECTS} times", lasting=True)

    async def document(self, url: str, *, token: str = "") -> tuple[Any, str | None]:
        """Return a JSON document, and the URL of the next one of a list (`Link: …; rel="next"`). Raises SourceError."""
        async with self.get(url, token=token) as response:
            content = await _read(response, MAX_ANSWER_BYTES + 1)
            following = response.links.get("next", _NO_LINK).get("url")
        if len(content) > MAX_ANSWER_BYTES:
            raise SourceError(f"{_shown(url)} answers with more than {MAX_ANSWER_BYTES} bytes", lasting=True)
        try:
            return json.loads(content), None if following is None else urljoin(url, str(following))
        except ValueError:
            raise SourceError(f"{_shown(url)} did not answer with JSON", lasting=False) from None

    async def small(self, file: SourceFile, *, limit: int, token: str = "") -> bytes:
        """Return at most `limit` + 1 bytes of the file. Raises SourceError."""
        async with self.get(file.url, token=token) as response:
            return await _read(response, limit + 1)

    @asynccontextmanager
    async def _opened(self, url: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._http.get(URL(url, encoded=True), headers=headers, allow_redirects=False) as response:
                yield response
        except TimeoutError:
            raise SourceError(f"{_shown(url)} did not answer in time", lasting=False) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceError(f"{_shown(url)}: {broken_in_words(error)}", lasting=False) from None


@asynccontextmanager
async def open_web(policy: SourcePolicy, trusted: Callable[[], ssl.SSLContext]) -> AsyncIterator[Web]:
    """Yield a session. `trusted` blocks, and makes the TLS context."""
    context = await asyncio.to_thread(trusted)
    connector = aiohttp.TCPConnector(
        resolver=CheckingResolver(policy), ssl=context, limit=CONNECTIONS, use_dns_cache=False
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_S, sock_connect=_CONNECT_S, sock_read=_SILENCE_S),
        headers={"Accept-Encoding": "identity", "User-Agent": "headrace"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=_READ_BYTES,
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
    ) as http:
        yield Web(http, policy)


def web_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return the TLS context of sources: the system's authorities, and the installation's. Blocks. Raises SourceError."""
    context = ssl.create_default_context()
    try:
        if ca_file is not None:
            context.load_verify_locations(ca_file)
    except OSError as error:  # SSLError is one
        raise SourceError(f"the manager's ca_file cannot be used: {error.strerror or error}", lasting=False) from None
    return context


class CheckingResolver(AbstractResolver):
    """Resolver that gives no address which the policy does not allow."""

    def __init__(self, policy: SourcePolicy) -> None:
        self._policy = policy
        self._system = aiohttp.ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        """Return the addresses of a name. Raises SourceError if one of them is not allowed."""
        found = await self._system.resolve(host, port, family)
        if why := self._policy.why_not_addresses(host, [one["host"] for one in found]):
            raise SourceError(why, lasting=True)
        return found

    async def close(self) -> None:
        """Close it."""
        await self._system.close()


def broken_in_words(error: BaseException) -> str:
    """Return why a request failed, or a body did not come whole."""
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it ended before all had come"
    if isinstance(error, aiohttp.SocketTimeoutError):
        return f"nothing came for {_SILENCE_S:g} s"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} is not found"
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        number = error.os_error.errno or 0
        return f"cannot connect to {error.host}:{error.port}{f': {os.strerror(number)}' if number > 0 else ''}"
    return str(error)[:200] or type(error).__name__


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    content = bytearray()
    while len(content) < limit and (part := await response.content.read(limit - len(content))):
        content += part
    return bytes(content)


def _refused(url: str, status: int) -> SourceError:
    words = _WORDS.get(status, "")
    text = f"{_shown(url)} answered {status}{f': {words}' if words else ''}"
    return SourceError(text, lasting=400 <= status < 500 and status not in _TEMPORARY)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _shown(url: str) -> str:
    """Return the URL without its query, which may have a signature."""
    return url.partition("?")[0][:300]
