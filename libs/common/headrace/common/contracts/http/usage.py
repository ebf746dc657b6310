"""Usage of callers and of machines."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import View
from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.contracts.vocabulary import LimitsScope, UsageBy, UsageStep


class UsageItem(View):
    """Usage of one project, service, revision, token, client or user in one interval."""

    at: AwareDatetime
    """Beginning of the interval (UTC)."""
    id: UUID | None = None
    """Null: all of it together, or what belongs to none, as callers without a credential belong to no token."""
    name: str | None = None
    """Its last name; of a revision its number. Null where there is none, or nothing is left of it."""
    service: str | None = None
    """Name of the service of a revision, token or client; null of a token of a project."""
    requests: int
    """Requests for which a replica was chosen."""
    errors: int
    """Of these, those that ended in a status of 500 or more, or with an interrupted response."""
    refused: int
    """Requests of known callers that were refused before that, as by a limit."""
    prompt_tokens: int
    completion_tokens: int
    estimated_tokens: int
    """Tokens that limits counted for requests whose response told none."""
    tokens: int
    """Sum of the three: what limits and budgets of tokens count."""
    audio_seconds: float
    last_at: AwareDatetime | None = None
    """End of its last request in the interval."""
    gpu_hours: float | None = None
    """Hours times GPUs that replicas held; null by token and client, to which replicas do not belong."""
    cpu_hours: float | None = None
    memory_gib_hours: float | None = None


class CallerUsage(View):
    """What a token or named client used of a service or project, and what it has left."""

    id: UUID
    kind: Literal["token", "client"]
    name: str
    """Empty for a token without one."""
    requests: int
    """Requests in the window for which a replica was chosen."""
    refused: int
    """Requests in the window that were refused before that, as by a limit."""
    tokens: int
    """Tokens in the window, as limits count them."""
    tokens_today: int
    """The same of today (UTC)."""
    limits: RateLimits
    """Limits in force: its own, else the service's for callers without any."""
    limits_scope: LimitsScope = "service"
    """Over what they count: those of a project's token, if it has its own, over all services of the project."""
    left_today: int | None = None
    """What is left of `tokens_per_day`, but for requests that are open and the last seconds; null: they are not limited."""
    resets_at: AwareDatetime | None = None
    """When the day's tokens begin anew."""
    left_this_minute: int | None = None
    """What is left of `tokens_per_minute`, which refill evenly, as exact as `left_today`; null: they are not limited."""
    refilled_at: AwareDatetime | None = None
    """When the tokens of the minute are whole again; null: they are, or are not limited."""
    last_used_at: AwareDatetime | None = None
    """End of its last request, as far back as usage is kept."""


class UsageReport(View):
    """Usage in an interval, by step and noun: all of it, in order of time and id."""

    since: AwareDatetime
    until: AwareDatetime
    step: UsageStep | None = None
    by: UsageBy | None = None
    items: tuple[UsageItem, ...]
