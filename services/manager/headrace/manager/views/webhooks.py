"""Views of webhooks."""

from __future__ import annotations

from typing import Literal

from headrace.common.contracts.http.webhooks import WebhookAnswer, WebhookView
from headrace.manager.domain.entity_tags import tag_of_webhook
from headrace.manager.domain.records.webhooks import Answer, Webhook


def webhook_view(webhook: Webhook) -> WebhookView:
    """Return a webhook and its newest answers."""
    failing = webhook.failing_since is not None
    state: Literal["idle", "delivering", "failing", "disabled"] = "idle"
    if not webhook.enabled:
        state = "disabled"
    elif failing:
        state = "failing"
    elif webhook.queued:
        state = "delivering"
    return WebhookView(
        id=webhook.id,
        name=webhook.name,
        project_id=webhook.project_id,
        project=webhook.project,
        url=webhook.url,
        secret=webhook.secret,
        kinds=webhook.kinds,
        enabled=webhook.enabled,
        problem=webhook.problem,
        state=state,
        queued=webhook.queued,
        delivered=webhook.delivered,
        dropped=webhook.dropped,
        failing_since=webhook.failing_since,
        next_try_at=webhook.next_try_at if state == "failing" else None,
        answers=tuple(map(_answer, webhook.answers)),
        created_by=webhook.created_by,
        created_at=webhook.created_at,
        updated_at=webhook.updated_at,
        etag=tag_of_webhook(webhook),
    )


def _answer(answer: Answer) -> WebhookAnswer:
    return WebhookAnswer(
        at=answer.at,
        event_id=answer.event_id,
        action=answer.action,
        status=answer.status,
        error=answer.error,
        took_ms=answer.took_ms,
    )
