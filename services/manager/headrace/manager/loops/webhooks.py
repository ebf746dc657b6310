"""Loop of webhooks: delivers what is queued for each, in order, and notes the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.problems import Problem
from headrace.common.db.pool import DATABASE_AWAY, Pool, transaction
from headrace.common.runtime.clock import Clock, Monotonic
from headrace.manager.domain.records.webhooks import Answer, Delivery, DueWebhook
from headrace.manager.domain.webhooks import After, after, body_of, key_of, signature
from headrace.manager.loops.row_errors import skip_row
from headrace.manager.metrics import WEBHOOK_DELIVERIES
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.sources.webhook_sender import Sent, WebhookSender
from headrace.manager.store import events, webhooks

log = structlog.get_logger()
AT_ONCE: Final = 20
"""Webhooks that a manager delivers to at once."""
BATCH: Final = 20
"""Events of one webhook and pass."""
WORK_S: Final = 2.0
"""After so long no further event of a webhook is begun in a pass, so that the others have their turn."""
LEASE: Final = timedelta(seconds=60)
"""After so long another manager goes on with the webhooks of one that ended."""


class WebhooksLoop:
    """Reads: webhooks that are due, the events that wait for them, their secrets. Writes: the queues, and what came of each try. Of
    several managers one delivers to a webhook (a lease); an event that was delivered as its manager ended is delivered again.
    """

    def __init__(
        self,
        pool: Pool,
        keys: SecretKeys,
        sender: Callable[[], AbstractAsyncContextManager[WebhookSender]],
        poke: Callable[..., None],
        clock: Clock,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._pool = pool
        self._keys = keys
        self._sender = sender
        self._poke = poke
        self._clock = clock
        self._monotonic = monotonic
        self._own: UUID = new_uuid()

    async def one_pass(self) -> None:
        """Deliver to the webhooks that are due."""
        async with self._pool.acquire() as con:
            due = await webhooks.claim(con, self._own, most=AT_ONCE, lease=LEASE)
        if not due:
            return
        async with self._sender() as sender, asyncio.TaskGroup() as group:
            for webhook in due:
                group.create_task(self._one(sender, webhook))
        self._poke("webhooks")  # there may be more

    async def _one(self, sender: WebhookSender, webhook: DueWebhook) -> None:
        """Deliver what waits for one webhook, until a try fails or its time is over."""
        try:
            await self._deliver(sender, webhook)
        except DATABASE_AWAY:
            raise  # so is it for the others; the lease ends by itself
        except Exception as error:  # noqa: BLE001 - one that cannot be handled does not keep the others from theirs
            skip_row("webhooks", error, webhook=str(webhook.id))
            return  # it stays leased, so that it is not tried again at once
        async with self._pool.acquire() as con:
            await webhooks.release(con, self._own, webhook.id)

    async def _deliver(self, sender: WebhookSender, webhook: DueWebhook) -> None:
        until = self._monotonic() + WORK_S
        async with self._pool.acquire() as con:
            waiting = await webhooks.waiting(con, webhook.id, most=BATCH)
            sealed = await webhooks.keys(con, webhook.secret_id)
        try:
            keys = [key_of(self._keys.open(one, webhook.secret_id, version)) for version, one in sealed.items()]
        except (ValueError, Problem) as error:  # an older version may be shorter, the newest one too
            keys, unusable = [], f"its secret cannot be used: {error}"
        for event in waiting:
            sent = await self._send(sender, webhook, event, keys) if keys else Sent(None, unusable, 0)
            WEBHOOK_DELIVERIES.labels("delivered" if sent.error is None else "failed").inc()
            then = after(
                status=sent.status,
                error=sent.error,
                queued_at=event.at,
                failures=webhook.failures,
                failing_since=webhook.failing_since,
                now=self._clock(),
            )
            if (
                not await self._settle(webhook, event, then, sent)
                or sent.error is not None
                or self._monotonic() >= until
            ):
                return

    async def _send(self, sender: WebhookSender, webhook: DueWebhook, event: Delivery, keys: list[bytes]) -> Sent:
        body = body_of(event)
        message_id, timestamp_s = str(event.event_id), int(self._clock().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": signature(keys, message_id, timestamp_s, body),
        }
        return await sender.post(webhook.url, body, headers)

    async def _settle(self, webhook: DueWebhook, event: Delivery, then: After, sent: Sent) -> bool:
        """Note what came of the try; False where it is no longer this manager's to note."""
        answer = Answer(self._clock(), event.event_id, event.action, sent.status, sent.error, sent.took_ms)
        async with transaction(self._pool) as con:
            held = await webhooks.settle(con, self._own, webhook, event, then, answer)
            if held and then.problem is not None:
                facts = {"webhook": webhook.name, "webhook_id": str(webhook.id), "reason": then.problem}
                await events.note(con, "webhook.disabled", project_id=webhook.project_id, details=facts)
        if then.problem is not None:
            log.info("webhook_disabled", webhook=str(webhook.id), why=then.problem)
        return held
