"""Range of ports for services' own endpoints at the app-proxies.

A port on which another component of the installation listens could not be opened, so it is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field


def port_range(bounds: str) -> tuple[int, int]:
    """Parse `low-high` into the first and last port. Raises ValueError."""
    low, _, high = bounds.partition("-")
    if not (low.isdecimal() and high.isdecimal() and 1 <= int(low) <= int(high) <= 65_535):
        raise ValueError(f"{bounds} is no range of ports as 10000-19999")
    return int(low), int(high)


@dataclass(frozen=True, slots=True)
class OwnPorts:
    """Allowed endpoint ports: a range without reserved ports."""

    low: int = 10_000
    high: int = 19_999
    reserved: Collection[int] = field(default_factory=frozenset)

    @classmethod
    def parse(cls, bounds: str, reserved: Collection[int]) -> OwnPorts:
        """Parse `low-high`. Raises ValueError."""
        return cls(*port_range(bounds), frozenset(reserved))

    def allowed(self, port: int | None) -> str | None:
        """Return None when a service may have the port (0 and None: no own port), else the text of what is allowed."""
        if not port or (self.low <= port <= self.high and port not in self.reserved):
            return None
        own = " that nothing of the installation uses" if port in self.reserved else ""
        return f"a port of {self.low} to {self.high}{own}"
