"""Webhooks of a project: URLs that are told of events of its history."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from headrace.common.contracts.http.webhooks import CreateWebhook, UpdateWebhook, WebhookView
from headrace.sdk.transport import Transport, segment


class Webhooks:
    """Client of `/v1/projects/{project}/webhooks` (owners): webhooks, given by name or id."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, project: str, body: CreateWebhook) -> WebhookView:
        """Create a webhook, signed with a secret of the project."""
        return self._transport.create(WebhookView, _of(project), body)

    def list(self, project: str) -> Iterator[WebhookView]:
        """Yield the webhooks with what their receivers answered lately."""
        return self._transport.items(WebhookView, _of(project))

    def get(self, project: str, webhook: UUID | str) -> WebhookView:
        """Return one webhook."""
        return self._transport.one(WebhookView, "GET", f"{_of(project)}/{segment(webhook)}")

    def update(
        self, project: str, webhook: UUID | str, body: UpdateWebhook, *, if_match: str | None = None
    ) -> WebhookView:
        """Change the fields set in `body`. What waits is tried anew at once, or dropped where the webhook is not enabled."""
        path = f"{_of(project)}/{segment(webhook)}"
        return self._transport.one(WebhookView, "PATCH", path, body=body, if_match=if_match)

    def delete(self, project: str, webhook: UUID | str, *, if_match: str | None = None) -> None:
        """Delete a webhook, and what waits for it."""
        self._transport.send("DELETE", f"{_of(project)}/{segment(webhook)}", if_match=if_match)

    def test(self, project: str, webhook: UUID | str) -> WebhookView:
        """Queue an event `webhook.tested` for it, whatever its kinds; `get` tells what was answered."""
        return self._transport.one(WebhookView, "POST", f"{_of(project)}/{segment(webhook)}/test")


def _of(project: str) -> str:
    return f"/v1/projects/{segment(project)}/webhooks"
