"""Views of usage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from headrace.common.contracts.http.usage import CallerUsage, UsageItem, UsageReport
from headrace.common.contracts.messages.routes import RateLimits
from headrace.manager.domain.records.usage import UsageFilter, UsageOfCaller, UsageSum
from headrace.manager.domain.token_budget import token_budget

_HOUR_S: Final = 3600
_GIB: Final = 2**30
_DIGITS: Final = 6


def usage_report(wanted: UsageFilter, found: Sequence[UsageSum]) -> UsageReport:
    """Return usage as it is shown."""
    of_replicas = wanted.by not in {"token", "client"}
    return UsageReport(
        since=wanted.since,
        until=wanted.until,
        step=wanted.step,
        by=wanted.by,
        items=tuple(_item(one, of_replicas=of_replicas) for one in found),
    )


def caller_usage_view(caller: UsageOfCaller, of_service: RateLimits, now: datetime) -> CallerUsage:
    """Return what a caller used and has left. `of_service`: limits of callers without any of their own."""
    budget = token_budget(
        caller.limits,
        of_service,
        used_today=caller.counted_today,
        minute_tokens=caller.minute_tokens,
        minute_at=caller.minute_at,
        now=now,
    )
    return CallerUsage(
        id=caller.id,
        kind=caller.kind,
        name=caller.name,
        requests=caller.requests,
        refused=caller.refused,
        tokens=caller.tokens,
        tokens_today=caller.tokens_today,
        limits=budget.limits,
        limits_scope=caller.limits_scope,
        left_today=budget.left_today,
        resets_at=budget.resets_at,
        left_this_minute=budget.left_this_minute,
        refilled_at=budget.refilled_at,
        last_used_at=caller.last_used_at,
    )


def _item(one: UsageSum, *, of_replicas: bool) -> UsageItem:
    return UsageItem(
        at=one.at,
        id=one.id,
        name=one.name,
        service=one.service,
        requests=one.requests,
        errors=one.errors,
        refused=one.refused,
        prompt_tokens=one.prompt_tokens,
        completion_tokens=one.completion_tokens,
        estimated_tokens=one.estimated_tokens,
        tokens=one.prompt_tokens + one.completion_tokens + one.estimated_tokens,
        audio_seconds=one.audio_ms / 1000,
        last_at=one.last_at,
        gpu_hours=round(one.gpu_s / _HOUR_S, _DIGITS) if of_replicas else None,
        cpu_hours=round(one.cpu_s / _HOUR_S, _DIGITS) if of_replicas else None,
        memory_gib_hours=round(one.memory_byte_s / _HOUR_S / _GIB, _DIGITS) if of_replicas else None,
    )
