"""What a test needs to know of the bus' servers: those of the embedded stack, or a cluster."""

from __future__ import annotations

from typing import Protocol


class BusServers(Protocol):
    """Where the servers are, and who may log in."""

    @property
    def nats_url(self) -> str:
        """The setting of services: one address, or several."""

    def nats_user(self, name: str) -> tuple[str, str]:
        """Return the user's name and password."""
