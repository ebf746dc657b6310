"""Request accounting: updates statistics, usage, drain counts, rate limits, access log and spans after a request has ended."""

from __future__ import annotations

from typing import Final

from headrace.appproxy.dataplane.auth.access import DENIALS
from headrace.appproxy.dataplane.inspect.usage import NOTHING, UsageReader, audio_ms_of, cost, tokens_of
from headrace.appproxy.dataplane.ratelimit.policy import Reservation
from headrace.appproxy.dataplane.request.context import WorkerContext
from headrace.appproxy.dataplane.telemetry.record import RequestRecord
from headrace.appproxy.dataplane.telemetry.stats import ReplicaStats, ServiceStats
from headrace.appproxy.dataplane.upstream.replica import Replica
from headrace.common.contracts.reasons.proxy import ProxyReason

GRACE_REASONS: Final = frozenset({ProxyReason.SHUTTING_DOWN, ProxyReason.REPLICA_STOPPED})
"""Reasons of requests cut at the end of a grace."""
_COUNTED: Final[tuple[int, ...]] = (401, 403, 429, 503)
"""Statuses counted as refused even after a replica was chosen."""


def note_end(record: RequestRecord, now_s: float, replica: Replica | None, at_fault: Replica | None) -> None:
    """Record the end of a request, and its outcome for its replica.

    The rest of the accounting (`settle`) is done after the response was sent.
    """
    record.ended_s = now_s
    replica = replica or at_fault
    if replica is not None and replica.drain is not None:
        failed = bool(record.broken and record.broken not in DENIALS) or replica is at_fault
        replica.drain.ended(now_s - record.started_s, was_cut=record.was_cut, failed=failed)


def settle(
    context: WorkerContext,
    record: RequestRecord,
    service: ServiceStats | None,
    reservation: Reservation | None,
    usage: UsageReader | None,
    json_response: bytes,
    *,
    was_sent: bool,
) -> None:
    """Account for an ended request in statistics, rate limits, usage, access log and spans.

    `service`: None if it was never known; `usage`, `json_response`: where the response's token usage is found;
    `was_sent`: a replica got it.
    """
    seconds = record.ended_s - record.started_s
    if json_response:
        record.tokens = tokens_of(json_response)
        if record.tokens is not NOTHING and cost(record.tokens) is None:
            record.audio_ms = audio_ms_of(json_response)
    if record.stats is not None:
        _count(record, record.stats, usage, seconds)
    if record.reason:
        _count_reason(context, record, service)
    tokens = _cost(record, was_sent=was_sent)
    if reservation is not None:
        context.settle(reservation, tokens)
    if record.principal is not None and service is not None:
        estimated = reservation.estimate if tokens is None and reservation is not None else 0
        _meter(context, record, record.principal.key, service, estimated)
    context.access_log.ended(record, seconds)
    if record.trace is not None:
        context.tracer.ended(record.trace, record)


def _meter(
    context: WorkerContext, record: RequestRecord, caller: str, service: ServiceStats, estimated_tokens: int
) -> None:
    if record.stats is not None:
        context.usage.served(record, record.stats, caller, estimated_tokens)
    elif record.reason:
        context.usage.refused(record, service, caller)


def _count_reason(context: WorkerContext, record: RequestRecord, service: ServiceStats | None) -> None:
    if service is None:
        context.stats.count_unknown(record.reason)
    elif record.stats is None or record.status in _COUNTED:
        service.refused_for(record.reason)


def _cost(record: RequestRecord, *, was_sent: bool) -> int | None:
    """Return the tokens to settle: those in the response; else 0 if the request never ran or failed, else None."""
    said = cost(record.tokens)
    if said is None and (record.status >= 400 or not (record.status or was_sent)):
        return 0
    return said


def _count(record: RequestRecord, stats: ReplicaStats, usage: UsageReader | None, seconds: float) -> None:
    stats.ended(record.status, seconds, None if record.upgraded else record.first_byte_s, lasting=record.upgraded)
    stats.bytes_sent += record.bytes_sent
    stats.bytes_received += record.bytes_received
    if record.broken:
        stats.broke(record.broken)
    if record.was_cut:
        stats.cut += 1
    if usage is not None:
        record.tokens = usage.tokens
        if record.tokens is not NOTHING and cost(record.tokens) is None:
            record.audio_ms = usage.audio_ms
        if usage.events > 1 and (per_event := usage.seconds_per_event) is not None:
            stats.per_event.observe(per_event)
    if record.tokens is not NOTHING:
        stats.prompt_tokens += record.tokens[0] or 0
        stats.completion_tokens += record.tokens[1] or 0
