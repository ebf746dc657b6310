"""HTTP client of services' endpoints, behind the app-proxies' public URL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from headrace.common.contracts.problems import UpstreamFailed, UpstreamTimeout
from headrace.manager.domain.model_source import SourceError
from headrace.manager.sources.web import broken_in_words, web_context
from headrace.manager.usecases.calls import EndpointAnswer

CONNECT_S: Final = 5
SILENCE_S: Final = 600
"""Longest time without a byte; the service's own limits are lower."""
MAX_PROBLEM_BYTES: Final = 64 * 1024
"""What is read of an answer that is no success."""
MAX_DETAIL: Final = 2_000
REQUEST_ID: Final = "X-Request-Id"


class HttpEndpoints:
    """Endpoints below one base URL. `ca_file`: authorities that are trusted besides the system's."""

    def __init__(self, base_url: str, ca_file: Path | None) -> None:
        self._base = base_url.rstrip("/")
        self._ca_file = ca_file

    @asynccontextmanager
    async def post(self, service: str, path: str, body: bytes, token: str) -> AsyncIterator[EndpointAnswer]:
        """Send JSON to a path of a service's endpoint; see the protocol."""
        url = URL(f"{self._base}/{service}/{quote(path, safe='/')}", encoded=True)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "User-Agent": "headrace"}
        headers["Accept-Encoding"] = "identity"  # the answer is passed on as it comes
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        async with AsyncExitStack() as stack:
            # Only what happens here is the endpoint's failure: what the caller does with the answer is not.
            try:
                secure = await asyncio.to_thread(web_context, self._ca_file) if url.scheme == "https" else False
                connector = await stack.enter_async_context(aiohttp.TCPConnector(ssl=secure, limit=1, force_close=True))
                http = await stack.enter_async_context(
                    aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
                )
                asked = http.post(url, data=body, headers=headers, allow_redirects=False)
                response = await stack.enter_async_context(asked)
                refusal = await _refused(response) if response.status >= 300 else None
            except aiohttp.ConnectionTimeoutError:
                raise UpstreamFailed(f"{service} at {self._base}: no connection within {CONNECT_S} s") from None
            except TimeoutError:
                raise _silent(service) from None
            except (aiohttp.ClientError, OSError, SourceError) as error:
                raise UpstreamFailed(f"{service} at {self._base}: {broken_in_words(error)}") from None
            if refusal is not None:
                raise refusal
            request_id = response.headers.get(REQUEST_ID, "")[:100]
            yield EndpointAnswer(response.content_type, request_id, _pieces(response, service))


async def _pieces(response: aiohttp.ClientResponse, service: str) -> AsyncIterator[bytes]:
    try:
        async for piece in response.content.iter_any():
            yield piece
    except TimeoutError:
        raise _silent(service) from None
    except (aiohttp.ClientError, OSError) as error:
        raise UpstreamFailed(f"the answer of {service} broke off: {broken_in_words(error)}") from None


def _silent(service: str) -> UpstreamTimeout:
    return UpstreamTimeout(f"{service} sent nothing for {SILENCE_S} s", waited_s=SILENCE_S)


async def _refused(response: aiohttp.ClientResponse) -> UpstreamFailed:
    """Return what the endpoint said, in its words."""
    content = await response.content.read(MAX_PROBLEM_BYTES)
    detail = _words(content) or f"{response.reason}"
    found = response.headers.get(REQUEST_ID, "")[:100]
    return UpstreamFailed(f"the service answered {response.status}: {detail}", answered=response.status, call_id=found)


def _words(content: bytes) -> str:
    """Return the detail of a problem, or the message of an error as OpenAI's API has it; else the text."""
    text = content.decode(errors="replace").strip()[:MAX_DETAIL]
    try:
        found = json.loads(content)
    except ValueError:
        return text
    if isinstance(found, dict):
        error = found.get("error")
        said = found.get("detail") or (error.get("message") if isinstance(error, dict) else error)
        if isinstance(said, str):
            return said[:MAX_DETAIL]
    return text
