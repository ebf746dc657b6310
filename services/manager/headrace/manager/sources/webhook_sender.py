"""Sender of webhook deliveries: a POST, to public addresses or those that the operator allows, without redirects.

Each address that a name resolves to is checked, and the connection goes to one that was, without another look-up.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from headrace.manager.domain.model_source import SourceError
from headrace.manager.domain.source_policy import SourcePolicy
from headrace.manager.sources.web import CheckingResolver, broken_in_words

TIMEOUT_S: Final = 10.0
"""Whole time of a try."""
_CONNECTIONS: Final = 20
_LONGEST_HEADER: Final = 8 * 1024
MAX_ERROR: Final = 300
_KEPT_S: Final = 60.0


@dataclass(frozen=True)
class Sent:
    """What came of a POST."""

    status: int | None
    error: str | None
    """Why it does not count as delivered; None: it does."""
    took_ms: int


class WebhookSender:
    """Sender of deliveries."""

    def __init__(self, http: aiohttp.ClientSession, policy: SourcePolicy) -> None:
        self._http = http
        self._policy = policy

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Sent:
        """Send it, and return the answer's status. Its body is not read. Raises nothing."""
        began = time.monotonic()
        status, error = await self._answer(url, body, headers)
        return Sent(status, None if error is None else error[:MAX_ERROR], int((time.monotonic() - began) * 1000))

    async def _answer(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int | None, str | None]:
        try:
            target = URL(url)
            if why := self._policy.why_not_url(str(target)):  # as it is connected to: the host is normalised
                return None, why
            async with self._http.post(target, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
        except TimeoutError:
            return None, f"no answer within {TIMEOUT_S:g} s"
        except SourceError as refused:
            return None, str(refused)
        except (aiohttp.ClientError, OSError, ValueError) as broken:
            return None, broken_in_words(broken)
        if 300 <= status < 400:
            return status, f"answered {status}; redirects are not followed"
        return status, None if 200 <= status < 300 else f"answered {status}"


class KeptContext:
    """TLS context that is made anew once it is a minute old, so that not each pass reads all authorities. Called in threads."""

    def __init__(self, make: Callable[[], ssl.SSLContext]) -> None:
        self._make = make
        self._kept: tuple[float, ssl.SSLContext] | None = None

    def __call__(self) -> ssl.SSLContext:
        """Return the context. Raises what making it raises."""
        now = time.monotonic()
        if self._kept is None or now - self._kept[0] > _KEPT_S:
            self._kept = now, self._make()
        return self._kept[1]


@asynccontextmanager
async def open_webhook_sender(
    policy: SourcePolicy, trusted: Callable[[], ssl.SSLContext]
) -> AsyncIterator[WebhookSender]:
    """Yield a sender. `trusted` blocks, and makes the TLS context."""
    context = await asyncio.to_thread(trusted)
    connector = aiohttp.TCPConnector(
        resolver=CheckingResolver(policy), ssl=context, limit=_CONNECTIONS, use_dns_cache=False, force_close=True
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        headers={"User-Agent": "headrace"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
    ) as http:
        yield WebhookSender(http, policy)
