"""Records of usage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from headrace.common.contracts.ids import ProjectId, ServiceId
from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.contracts.vocabulary import LimitsScope, UsageBy, UsageStep


@dataclass(frozen=True)
class UsageFilter:
    """What usage is asked for: an interval, its steps, by what, and of which projects (None: all) and service."""

    since: datetime
    until: datetime
    step: UsageStep | None
    by: UsageBy | None
    projects: Sequence[ProjectId] | None = None
    service_id: ServiceId | None = None


@dataclass(frozen=True)
class UsageOfCaller:
    """What a token or client used of a service or project: in a window, and today (UTC). `limits`: its own."""

    id: UUID
    kind: Literal["token", "client"]
    name: str
    limits: RateLimits
    limits_scope: LimitsScope
    requests: int
    refused: int
    tokens: int
    tokens_today: int
    counted_today: int
    """What its limit of today has counted."""
    minute_tokens: float
    """What it had used of its tokens a minute at `minute_at`."""
    minute_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class UsageSum:
    """Usage of one thing in one interval. Seconds are those of one GPU, one core, one byte."""

    at: datetime
    id: UUID | None
    name: str | None
    service: str | None
    requests: int
    errors: int
    refused: int
    prompt_tokens: int
    completion_tokens: int
    estimated_tokens: int
    audio_ms: int
    last_at: datetime | None
    gpu_s: float
    cpu_s: float
    memory_byte_s: float
