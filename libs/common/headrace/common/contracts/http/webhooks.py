"""Webhooks: URLs of a project that are told of events of its history."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from headrace.common.contracts.http.page import Body, Change, Changeable, View
from headrace.common.contracts.ids import EventId, ProjectId, Slug, WebhookId
from headrace.common.contracts.wording import Refused, pattern

MAX_URL: Final = 2_048
MAX_KINDS: Final = 50
ACTION: Final = pattern(
    r"^([a-z-]{1,40}(\.([a-z-]{1,40}|[a-z-]{0,40}\*)|\*)|\*)$",
    "an action as replica.ended, the beginning of several and a star, as service.*, or * for all",
)
_Url = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL)]
_Secret = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Kinds = Annotated[
    tuple[Annotated[str, StringConstraints(pattern=ACTION)], ...], Field(min_length=1, max_length=MAX_KINDS)
]
"""Of which actions it is told: those of the project's history."""


class CreateWebhook(Body):
    """A new webhook."""

    name: Slug
    url: _Url
    secret: _Secret
    """Name of a secret of the project, 24 bytes or more: deliveries are signed with it."""
    kinds: Kinds = ("*",)
    enabled: bool = True


class UpdateWebhook(Change):
    """Changes of a webhook. `enabled` also ends what it was switched off for; what is queued is dropped while it is not."""

    url: _Url | None = None
    secret: _Secret | None = None
    kinds: Kinds | None = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        for name in ("url", "secret"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise Refused(None, "a value, or the field left out: it stays as it is then", below=name)
        return self


class WebhookAnswer(View):
    """What came of one try to deliver an event."""

    at: AwareDatetime
    event_id: EventId
    action: str
    status: int | None
    """Status that the receiver answered; null: there was no answer."""
    error: str | None
    """Why it does not count as delivered; null: it does."""
    took_ms: int


class WebhookView(Changeable):
    """A webhook."""

    id: WebhookId
    name: str
    project_id: ProjectId
    project: str
    url: str
    secret: str
    """Name of the secret, never its value."""
    kinds: tuple[str, ...]
    enabled: bool
    problem: str | None
    """Why it was switched off; null: it was not, or by a user."""
    state: Literal["idle", "delivering", "failing", "disabled"]
    """delivering: events are queued. failing: the last try failed, and the next one is at `next_try_at`."""
    queued: int
    """Events that wait, 1,000 at most."""
    delivered: int
    dropped: int
    """Events that were given up: too many waited, or too long."""
    failing_since: AwareDatetime | None
    next_try_at: AwareDatetime | None
    answers: tuple[WebhookAnswer, ...]
    """The newest 20 tries, newest first."""
    created_by: str
    created_at: AwareDatetime
    updated_at: AwareDatetime


class WebhookEvent(View):
    """Body of a delivery (POST, JSON)."""

    type: str
    """Action: `noun.verb-in-the-past`, for example `replica.ended`."""
    timestamp: AwareDatetime
    """When it happened."""
    data: WebhookData


class WebhookData(View):
    """What happened."""

    event_id: EventId
    actor: str
    project_id: ProjectId
    project: str
    service_id: str | None
    service: str | None
    message: str
    details: dict[str, object]
    """As the history has them; empty where they are too large (`truncated`), as are the states."""
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None
    """What was changed, before and after, as in the audit log."""
    truncated: bool = False
