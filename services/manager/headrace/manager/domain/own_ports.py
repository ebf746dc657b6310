"""Allocation range of services' own ports at the app-proxies.

A port that something else of the installation listens on could not be opened, so it is refused first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field


def port_range(bounds: str) -> tuple[int, int]:
    """Return the first and the last port of `low-high`. Raises ValueError where that is no range."""
    low, _, high = bounds.partition("-")
    if not (low.isdecimal() and high.isdecimal() and 1 <= int(low) <= int(high) <= 65_535):
        raise ValueError(f"{bounds} is no range of ports as 10000-19999")
    return int(low), int(high)


@dataclass(frozen=True, slots=True)
class OwnPorts:
    """A range, less the ports that something else of the installation listens on."""

    low: int = 10_000
    high: int = 19_999
    reserved: Collection[int] = field(default_factory=frozenset)

    @classmethod
    def parse(cls, bounds: str, reserved: Collection[int]) -> OwnPorts:
        """Return the ports of `low-high`. Raises ValueError where that is no range."""
        return cls(*port_range(bounds), frozenset(reserved))

    def allowed(self, port: int | None) -> str | None:
        """Return None where a service may have the port (0 and None: it has none), else which ports it may have."""
        if not port or (self.low <= port <= self.high and port not in self.reserved):
            return None
        own = " that nothing of the installation uses" if port in self.reserved else ""
        return f"a port of {self.low} to {self.high}{own}"
