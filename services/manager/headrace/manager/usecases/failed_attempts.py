"""Limit of failed attempts with a credential, for each address that they come from."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from headrace.common.contracts.problems import TooManyRequests
from headrace.common.runtime.clock import Monotonic

MAX_FAILURES: Final = 20
WINDOW_S: Final = 60.0
MAX_ADDRESSES: Final = 10_000
"""Addresses that are remembered: those with the newest failures."""


class FailedAttempts:
    """Counter of failed attempts per address in windows of a minute; attempts that succeed are not limited."""

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Address → begin of its window, failures in it."""

    def check(self, address: str) -> None:
        """Raise TooManyRequests for an address at the limit."""
        began, failures = self._failures.get(address, (0.0, 0))
        left = began + WINDOW_S - self._monotonic()
        if failures >= MAX_FAILURES and left > 0:
            raise TooManyRequests(
                f"found {failures} failed attempts from {address} within a minute; allowed: {MAX_FAILURES}",
                retry_after_s=int(left) + 1,
                found=failures,
                allowed=MAX_FAILURES,
            )

    def failed(self, address: str) -> None:
        """Count a failed attempt."""
        now = self._monotonic()
        began, failures = self._failures.pop(address, (now, 0))
        self._failures[address] = (now, 1) if now - began >= WINDOW_S else (began, failures + 1)
        if len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
