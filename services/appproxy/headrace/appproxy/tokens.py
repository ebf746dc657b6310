"""The gate as the aiohttp forwarder asks it: all Authorization headers as text, and a time of day."""

from __future__ import annotations

from datetime import datetime

from headrace.appproxy.callers import Gate
from headrace.appproxy.credentials import forwardable, read
from headrace.appproxy.table import Entry
from headrace.common.contracts.problems import Unauthenticated


class TokenGate:
    """Lets a caller through or says why not; see Gate."""

    def __init__(self, *, remembered: int = 10_000) -> None:
        self._gate = Gate(remembered=remembered)

    def check(self, entry: Entry, authorization: list[str], now: datetime) -> None:
        """Return if the caller may call the service. Raises Unauthenticated or Forbidden with a `reason`."""
        if len(authorization) > 1 and not entry.table.open_to_public:
            raise Unauthenticated("allowed is one Authorization: Bearer <token>", reason="malformed-token")
        self._gate.check(entry, _one(authorization), now.timestamp())

    def for_replica(self, authorization: list[str], *, open_to_public: bool) -> str | None:
        """Return the Authorization header that the replica gets: a public service's own credential, never one of our tokens."""
        given = _one(authorization)
        if not open_to_public or forwardable(given, read(given)) is None:
            return None
        return authorization[0]


def _one(authorization: list[str]) -> bytes | None:
    return authorization[0].encode("utf-8", "surrogateescape") if len(authorization) == 1 else None
