"""One health check: an HTTP GET, or whether the port accepts a connection."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from yarl import URL

from headrace.common.contracts.model import HealthCheck

_CONNECT_S = 1.0
_CLOSED_S = 0.1
"""A port published by Docker accepts for a program that does not listen yet, and is closed at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check saw; `detail` says the same thing for the same state, so that reports do not change for nothing."""

    passed: bool
    detail: str
    reached: bool = False
    """Whether a program answered, be it something else than was expected."""


class Checker:
    """Asks kernels at one host. `session` makes a connection for each check, `kept` keeps them."""

    def __init__(self, session: aiohttp.ClientSession, host: str, kept: aiohttp.ClientSession | None = None) -> None:
        self._session = session
        self._kept = kept or session
        self._host = host

    async def ask(self, check: HealthCheck | None, port: int, *, kept: bool = False) -> Answer:
        """Return the answer; never raises for what the kernel does. `kept`: a connection from before will do."""
        return await (self._connect(port) if check is None else self._get(check, port, kept=kept))

    async def _get(self, check: HealthCheck, port: int, *, kept: bool) -> Answer:
        host = f"[{self._host}]" if ":" in self._host else self._host
        url = URL(f"http://{host}:{port}{check.path}")
        timeout = aiohttp.ClientTimeout(total=check.max_wait_time)
        try:
            async with (self._kept if kept else self._session).get(
                url, timeout=timeout, allow_redirects=False
            ) as response:
                status = response.status
        except TimeoutError:
            return Answer(passed=False, detail=f"no answer within {check.max_wait_time:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(passed=False, detail=_words(error))
        if status == check.expected_status_code:
            return Answer(passed=True, detail=f"answered {status}", reached=True)
        return Answer(passed=False, detail=f"answered {status} instead of {check.expected_status_code}", reached=True)

    async def _connect(self, port: int) -> Answer:
        try:
            async with asyncio.timeout(_CONNECT_S):
                reader, writer = await asyncio.open_connection(self._host, port)
        except TimeoutError:
            return Answer(passed=False, detail=f"no connection within {_CONNECT_S:g} s")
        except OSError as error:
            return Answer(passed=False, detail=_words(error))
        try:
            async with asyncio.timeout(_CLOSED_S):
                if not await reader.read(1):
                    return Answer(passed=False, detail="the connection was closed at once")
        except TimeoutError:
            pass  # it stays open: somebody listens
        except OSError as error:
            return Answer(passed=False, detail=_words(error))
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        return Answer(passed=True, detail="accepted", reached=True)


def _words(error: Exception) -> str:
    os_error = getattr(error, "os_error", error)
    if isinstance(os_error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError):
        return "the connection was closed without an answer"
    return f"{type(error).__name__}"
