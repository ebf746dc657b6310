"""UsageCounts: requests of one caller at one revision in one hour, as workers report them; and their sums."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import NonNegativeInt

from headrace.common.contracts.ids import RevisionId, ServiceId


@dataclass(slots=True, kw_only=True)
class UsageCounts:
    """Usage of one caller since the last report (fields as in contracts: UsageRow)."""

    hour: NonNegativeInt
    """Hours since 1970 (UTC) in which the requests began."""
    service_id: ServiceId
    revision_id: RevisionId | None
    caller: str
    """`token:<uuid>`, `client:<uuid>`, `public`, or `other` for callers that are not counted apart."""
    requests: NonNegativeInt
    errors: NonNegativeInt
    refused: NonNegativeInt
    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt
    estimated_tokens: NonNegativeInt
    audio_ms: NonNegativeInt
    last_s: float
    """End of the last request, in seconds since 1970."""
    first_s: float | None = None
    """The same of the first, where it is another one."""

    @property
    def began_s(self) -> float:
        """End of the first request."""
        return self.last_s if self.first_s is None else self.first_s


Key = tuple[int, ServiceId, RevisionId | None, str]


class UsageSums:
    """Sums of usage by hour, service, revision and caller."""

    def __init__(self) -> None:
        self._rows: dict[Key, UsageCounts] = {}

    def add(self, counts: Iterable[UsageCounts]) -> None:
        """Add counts, which may become a part of the sums."""
        for one in counts:
            key = (one.hour, one.service_id, one.revision_id, one.caller)
            row = self._rows.get(key)
            if row is None:
                self._rows[key] = one
                continue
            row.requests += one.requests
            row.errors += one.errors
            row.refused += one.refused
            row.prompt_tokens += one.prompt_tokens
            row.completion_tokens += one.completion_tokens
            row.estimated_tokens += one.estimated_tokens
            row.audio_ms += one.audio_ms
            row.first_s = min(row.began_s, one.began_s)
            row.last_s = max(row.last_s, one.last_s)

    def take(self, most: int | None = None) -> list[UsageCounts]:
        """Return and remove the sums, at most so many; the oldest first."""
        if most is None or len(self._rows) <= most:
            taken, self._rows = list(self._rows.values()), {}
            return taken
        return [self._rows.pop(key) for key in list(self._rows)[:most]]

    def values(self) -> list[UsageCounts]:
        """Return the sums."""
        return list(self._rows.values())

    def __len__(self) -> int:
        return len(self._rows)
