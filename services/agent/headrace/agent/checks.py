"""One health check: an HTTP GET, or whether the port accepts a connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from headrace.agent.domain.answerhead import NotHttpError
from headrace.agent.probes import ClosedError, Probes
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
    """Asks kernels at one host."""

    def __init__(self, host: str) -> None:
        self._probes = Probes(host)

    async def ask(self, check: HealthCheck | None, port: int, *, kept: bool = False) -> Answer:
        """Return the answer; never raises for what the kernel does. `kept`: a connection from before will do."""
        return await (self._connect(port) if check is None else self._get(check, port, kept=kept))

    def forget(self, port: int) -> None:
        """Keep no connection to this port any more."""
        self._probes.forget(port)

    def close(self) -> None:
        """Keep no connection any more."""
        self._probes.close()

    async def _get(self, check: HealthCheck, port: int, *, kept: bool) -> Answer:
        try:
            async with asyncio.timeout(check.max_wait_time):
                status = await self._probes.get(port, check.path, kept=kept)
        except TimeoutError:
            return Answer(passed=False, detail=f"no answer within {check.max_wait_time:g} s")
        except (OSError, ValueError) as error:
            return Answer(passed=False, detail=_words(error), reached=isinstance(error, NotHttpError))
        if status == check.expected_status_code:
            return Answer(passed=True, detail=f"answered {status}", reached=True)
        return Answer(passed=False, detail=f"answered {status} instead of {check.expected_status_code}", reached=True)

    async def _connect(self, port: int) -> Answer:
        try:
            async with asyncio.timeout(_CONNECT_S):
                stays = await self._probes.touch(port, _CLOSED_S)
        except TimeoutError:
            return Answer(passed=False, detail=f"no connection within {_CONNECT_S:g} s")
        except OSError as error:
            return Answer(passed=False, detail=_words(error))
        if not stays:
            return Answer(passed=False, detail="the connection was closed at once")
        return Answer(passed=True, detail="accepted", reached=True)


def _words(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ClosedError | ConnectionResetError):
        return "the connection was closed without an answer"
    return str(error) if isinstance(error, NotHttpError) else f"{type(error).__name__}"
