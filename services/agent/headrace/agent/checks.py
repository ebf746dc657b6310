"""Health check of a kernel: an HTTP GET, or a TCP connect."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from headrace.agent.domain.answerhead import NotHttpError
from headrace.agent.probes import ClosedError, Probes
from headrace.common.contracts.model import HealthCheck

_CONNECT_S = 1.0
_CLOSED_S = 0.1
"""Time for which an accepted connection must stay open: a port published by Docker accepts, and closes at once, while
the program does not listen yet."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of a health check. `detail` is the same text for the same state, so that reports change only with the state."""

    passed: bool
    detail: str
    reached: bool = False
    """Whether a program answered, even with something else than expected."""


class HealthChecker:
    """Health checker of kernels at one host."""

    def __init__(self, host: str) -> None:
        self._probes = Probes(host)

    async def ask(self, check: HealthCheck | None, port: int, *, kept: bool = False) -> CheckResult:
        """Run one check and return its result; never raises for what the kernel does.

        `kept`: an idle connection may be reused.
        """
        return await (self._connect(port) if check is None else self._get(check, port, kept=kept))

    def forget(self, port: int) -> None:
        """Close the idle connection to this port."""
        self._probes.forget(port)

    def close(self) -> None:
        """Close all idle connections."""
        self._probes.close()

    async def _get(self, check: HealthCheck, port: int, *, kept: bool) -> CheckResult:
        try:
            async with asyncio.timeout(check.max_wait_time):
                status = await self._probes.get(port, check.path, kept=kept)
        except TimeoutError:
            return CheckResult(passed=False, detail=f"no answer within {check.max_wait_time:g} s")
        except (OSError, ValueError) as error:
            return CheckResult(passed=False, detail=_error_text(error), reached=isinstance(error, NotHttpError))
        if status == check.expected_status_code:
            return CheckResult(passed=True, detail=f"answered {status}", reached=True)
        return CheckResult(
            passed=False, detail=f"answered {status} instead of {check.expected_status_code}", reached=True
        )

    async def _connect(self, port: int) -> CheckResult:
        try:
            async with asyncio.timeout(_CONNECT_S):
                stays = await self._probes.touch(port, _CLOSED_S)
        except TimeoutError:
            return CheckResult(passed=False, detail=f"no connection within {_CONNECT_S:g} s")
        except OSError as error:
            return CheckResult(passed=False, detail=_error_text(error))
        if not stays:
            return CheckResult(passed=False, detail="the connection was closed at once")
        return CheckResult(passed=True, detail="accepted", reached=True)


def _error_text(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ClosedError | ConnectionResetError):
        return "the connection was closed without an answer"
    return str(error) if isinstance(error, NotHttpError) else f"{type(error).__name__}"
