"""Records of webhooks and what is delivered to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.common.contracts.ids import EventId, ProjectId, SecretId, ServiceId, WebhookId


@dataclass(frozen=True)
class Webhook:
    """A webhook, and how its deliveries go."""

    id: WebhookId
    name: str
    project_id: ProjectId
    project: str
    url: str
    secret: str
    secret_id: SecretId
    kinds: tuple[str, ...]
    enabled: bool
    problem: str | None
    failing_since: datetime | None
    next_try_at: datetime
    queued: int
    delivered: int
    dropped: int
    answers: tuple[Answer, ...]
    created_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Answer:
    """What came of one try."""

    at: datetime
    event_id: EventId
    action: str
    status: int | None
    error: str | None
    """None: it counts as delivered."""
    took_ms: int


@dataclass(frozen=True)
class DueWebhook:
    """Webhook that a manager holds to deliver to."""

    id: WebhookId
    project_id: ProjectId
    name: str
    url: str
    secret_id: SecretId
    failures: int
    failing_since: datetime | None


@dataclass(frozen=True)
class Delivery:
    """Event that waits for its delivery."""

    id: int
    at: datetime
    """When it was queued."""
    event_id: EventId
    happened_at: datetime
    action: str
    actor: str
    project_id: ProjectId
    project: str
    service_id: ServiceId | None
    service: str | None
    message: str
    details: Mapping[str, Any]
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
