"""Request accounting: once a request has ended, statistics, drain counts, rate limits, access log and spans get their part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.appproxy.dataplane.auth.access import DENIALS
from headrace.appproxy.dataplane.inspect.usage import NOTHING, cost, tokens_of
from headrace.appproxy.dataplane.telemetry.record import RequestRecord
from headrace.appproxy.dataplane.telemetry.stats import ReplicaStats
from headrace.appproxy.dataplane.upstream.replica import Replica
from headrace.common.contracts.reasons.proxy import ProxyReason

if TYPE_CHECKING:
    from headrace.appproxy.dataplane.request.attempts import Attempts

GRACE_REASONS: Final = frozenset({ProxyReason.SHUTTING_DOWN, ProxyReason.REPLICA_STOPPED})
"""Why a request is cut at the end of a grace."""
_COUNTED: Final[tuple[int, ...]] = (401, 403, 429, 503)
"""Refused also where a replica was chosen already."""


def note_end(exchange: Attempts, replica: Replica | None) -> None:
    """Note when it ended, and how for the replica that it was on, if any; the rest (`settle`) comes after the answer has left."""
    record = exchange.record
    record.ended_s = exchange.context.now()
    replica = replica or exchange.at_fault
    if replica is not None and replica.drain is not None:
        failed = bool(record.broken and record.broken not in DENIALS) or replica is exchange.at_fault
        replica.drain.ended(record.ended_s - record.started_s, was_cut=record.was_cut, failed=failed)


def settle(exchange: Attempts) -> None:
    """Account for a request that has ended."""
    context, record = exchange.context, exchange.record
    seconds = record.ended_s - record.started_s
    record.queued_s = exchange.queued_s
    if exchange.json_response:
        record.tokens = tokens_of(exchange.json_response)
    if exchange.body is not None:
        record.bytes_received += exchange.body.size
    if record.stats is not None:
        _count(exchange, record, record.stats, seconds)
    if record.reason:
        _count_reason(exchange, record)
    if exchange.reservation is not None:
        context.settle(exchange.reservation, _cost(exchange, record))
    context.access_log.ended(record, seconds)
    if record.trace is not None:
        context.tracer.ended(record.trace, record)


def _count_reason(exchange: Attempts, record: RequestRecord) -> None:
    if not exchange.found:
        exchange.context.stats.count_unknown(record.reason)
    elif record.stats is None or record.status in _COUNTED:
        exchange.backend.stats.refused_for(record.reason)


def _cost(exchange: Attempts, record: RequestRecord) -> int | None:
    """Return what it costs of the caller's limits: what the answer says; else nothing where it never ran or failed."""
    said = cost(record.tokens)
    if said is None and (record.status >= 400 or (not record.status and exchange.connection is None)):
        return 0
    return said


def _count(exchange: Attempts, record: RequestRecord, stats: ReplicaStats, seconds: float) -> None:
    stats.ended(record.status, seconds, None if record.upgraded else record.first_byte_s, lasting=record.upgraded)
    stats.bytes_sent += record.bytes_sent
    stats.bytes_received += record.bytes_received
    if record.broken:
        stats.broke(record.broken)
    if record.was_cut:
        stats.cut += 1
    usage = exchange.usage
    if usage is not None:
        record.tokens = usage.tokens
        if usage.events > 1 and (per_event := usage.seconds_per_event) is not None:
            stats.per_event.observe(per_event)
    if record.tokens is not NOTHING:
        stats.prompt_tokens += record.tokens[0] or 0
        stats.completion_tokens += record.tokens[1] or 0
