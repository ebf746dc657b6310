"""Usage of callers in one process: requests and tokens by hour, revision and caller, since the last report.

A request counts to the hour in which it began, as it does to the day of its limits. Its tokens are those that limits settle:
what the response tells, else the estimate that was reserved. Costs one look-up per request; memory is bounded, and callers
beyond the bound are counted together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from headrace.appproxy.dataplane.telemetry.record import RequestRecord
from headrace.appproxy.dataplane.telemetry.stats import ReplicaStats, ServiceStats
from headrace.appproxy.ipc.usage import UsageCounts
from headrace.common.contracts.ids import RevisionId, ServiceId

MAX_CALLERS: Final = 5000
"""Callers at revisions that are counted apart until the next report, which is a quarter of a second away."""
OTHER: Final = "other"
_HOUR_S: Final = 3600


class CallerUsage:
    """Counts of one caller at one revision (fields: contracts, UsageRow)."""

    __slots__ = (
        "audio_ms",
        "caller",
        "completion_tokens",
        "errors",
        "estimated_tokens",
        "hour",
        "last_s",
        "prompt_tokens",
        "refused",
        "requests",
        "revision_id",
        "service_id",
    )

    def __init__(self, service_id: ServiceId, revision_id: RevisionId | None, caller: str, hour: int) -> None:
        self.service_id, self.revision_id = service_id, revision_id
        self.caller = caller
        self.hour = hour
        self.requests = self.errors = self.refused = 0
        self.prompt_tokens = self.completion_tokens = self.estimated_tokens = 0
        self.audio_ms = 0
        self.last_s = 0.0
        """End of the last request, by the monotonic clock."""


class UsageMeter:
    """Counter of callers' usage. `now`: seconds of a monotonic clock; `epoch`: seconds since 1970."""

    def __init__(self, now: Callable[[], float], epoch: Callable[[], float], most: int = MAX_CALLERS) -> None:
        self._now = now
        self._epoch = epoch
        self._most = most
        self._size = 0
        self._of_replicas: dict[ReplicaStats, dict[str, CallerUsage]] = {}
        self._of_services: dict[ServiceStats, dict[str, CallerUsage]] = {}
        self._hour = 0
        self._hour_began_s = self._hour_ends_s = 0.0
        """Limits of the current hour, by the monotonic clock."""
        self._set_hour()

    def _set_hour(self) -> None:
        now_s, epoch_s = self._now(), self._epoch()
        self._hour = int(epoch_s) // _HOUR_S
        self._hour_began_s = now_s - (epoch_s - self._hour * _HOUR_S)
        self._hour_ends_s = self._hour_began_s + _HOUR_S

    def served(self, record: RequestRecord, stats: ReplicaStats, caller: str, estimated_tokens: int) -> None:
        """Count an ended request for which a replica was chosen. `estimated_tokens`: what limits count for it beside what
        its response told.
        """
        callers = self._of_replicas.get(stats)
        if callers is None:
            callers = self._of_replicas[stats] = {}
        usage = self._usage(callers, caller, record, stats.service_id, stats.revision_id)
        usage.requests += 1
        if record.status >= 500 or record.broken:
            usage.errors += 1
        usage.estimated_tokens += estimated_tokens
        prompt, completion, total = record.tokens
        if prompt is not None:
            usage.prompt_tokens += prompt
        if completion is not None:
            usage.completion_tokens += completion
        elif prompt is None and total is not None:
            usage.prompt_tokens += total
        usage.audio_ms += record.audio_ms

    def refused(self, record: RequestRecord, stats: ServiceStats, caller: str) -> None:
        """Count a request of a known caller that was refused before a replica was chosen."""
        callers = self._of_services.get(stats)
        if callers is None:
            callers = self._of_services[stats] = {}
        self._usage(callers, caller, record, stats.service_id, None).refused += 1

    def _usage(
        self,
        callers: dict[str, CallerUsage],
        caller: str,
        record: RequestRecord,
        service_id: ServiceId,
        revision_id: RevisionId | None,
    ) -> CallerUsage:
        began_s = record.started_s
        hour = self._hour
        name = caller
        if began_s >= self._hour_ends_s or began_s < self._hour_began_s:
            hour += int((began_s - self._hour_began_s) // _HOUR_S)
            name = f"{caller} {hour}"
        usage = callers.get(name)
        if usage is None:
            if self._size >= self._most:
                caller = OTHER
                name = f"{OTHER} {hour}"
                usage = callers.get(name)
            if usage is None:
                self._size += 1
                usage = callers[name] = CallerUsage(service_id, revision_id, caller, hour)
        if record.ended_s > usage.last_s:  # noqa: PLR1730 - compiled, max() is a call
            usage.last_s = record.ended_s
        return usage

    def take(self) -> tuple[UsageCounts, ...]:
        """Return the counts since the last call, and reset them."""
        if not self._size:
            self._set_hour()
            return ()
        to_epoch_s = self._epoch() - self._now()
        taken = [_counts(usage, to_epoch_s) for callers in self._of_replicas.values() for usage in callers.values()]
        taken += [_counts(usage, to_epoch_s) for callers in self._of_services.values() for usage in callers.values()]
        self._of_replicas, self._of_services, self._size = {}, {}, 0
        self._set_hour()
        return tuple(taken)


def _counts(usage: CallerUsage, to_epoch_s: float) -> UsageCounts:
    return UsageCounts(
        hour=usage.hour,
        service_id=usage.service_id,
        revision_id=usage.revision_id,
        caller=usage.caller,
        requests=usage.requests,
        errors=usage.errors,
        refused=usage.refused,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        estimated_tokens=usage.estimated_tokens,
        audio_ms=usage.audio_ms,
        last_s=usage.last_s + to_epoch_s,
    )
