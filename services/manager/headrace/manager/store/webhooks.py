"""Queries: webhooks, the queue of each, and what came of deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from headrace.common.contracts.ids import EventId, ProjectId, SecretId, UserId, WebhookId
from headrace.common.contracts.problems import NameTaken
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.webhooks import Answer, Delivery, DueWebhook, Webhook
from headrace.manager.domain.webhooks import After
from headrace.manager.secret_keys import SealedSecret
from headrace.manager.store import rows

SQL = Queries.beside(__file__)
MAX_QUEUED: Final = 1_000
"""Events that wait for one webhook; the oldest beyond are dropped."""


async def insert(
    con: Connection,
    webhook_id: WebhookId,
    project_id: ProjectId,
    name: str,
    *,
    url: str,
    kinds: Sequence[str],
    secret_id: SecretId,
    enabled: bool,
    user_id: UserId,
) -> None:
    """Insert a webhook. Raises NameTaken."""
    try:
        await con.execute(SQL.insert, webhook_id, project_id, name, url, list(kinds), secret_id, enabled, user_id)
    except asyncpg.UniqueViolationError:
        raise NameTaken(f"there is a webhook {name} already") from None


async def count(con: Connection, project_id: ProjectId) -> int:
    """Return the number of the project's webhooks."""
    return int(await con.fetchval(SQL.count, project_id))


async def find(con: Connection, project_id: ProjectId, reference: str) -> Webhook | None:
    """Return the project's webhook with this name or id."""
    row = await con.fetchrow(SQL.find, project_id, rows.as_uuid(reference), reference)
    return _webhook(row) if row else None


async def page(con: Connection, project_id: ProjectId, *, after: UUID, limit: int) -> list[Webhook]:
    """Return a page of the project's webhooks."""
    return [_webhook(row) for row in await con.fetch(SQL.page, project_id, after, limit)]


async def hold(con: Connection, webhook_id: WebhookId) -> None:
    """Lock the webhook until the transaction ends."""
    await con.execute(SQL.hold, webhook_id)


async def update(
    con: Connection, webhook_id: WebhookId, *, url: str, kinds: Sequence[str], secret_id: SecretId, enabled: bool
) -> None:
    """Set what a webhook is told, where, and whether. What waits is tried at once, or dropped where it is not enabled."""
    await con.execute(SQL.update, webhook_id, url, list(kinds), secret_id, enabled)
    if not enabled:
        await con.execute(SQL.drop_queue, webhook_id)


async def delete(con: Connection, webhook_id: WebhookId) -> None:
    """Delete a webhook, and what waits for it."""
    await con.execute(SQL.delete, webhook_id)


async def delete_all(con: Connection, project_id: ProjectId) -> None:
    """Delete the webhooks of a project."""
    await con.execute(SQL.delete_all, project_id)


async def of_secret(con: Connection, secret_id: SecretId, *, most: int) -> list[str]:
    """Return names of webhooks that are signed with the secret."""
    return [row["name"] for row in await con.fetch(SQL.of_secret, secret_id, most)]


async def claim(con: Connection, manager: UUID, *, most: int, lease: timedelta) -> list[DueWebhook]:
    """Lease webhooks that have something to deliver and are due."""
    return [DueWebhook(**row) for row in await con.fetch(SQL.claim, manager, most, lease)]


async def waiting(con: Connection, webhook_id: WebhookId, *, most: int) -> list[Delivery]:
    """Return the next events that wait; the oldest beyond MAX_QUEUED are dropped first."""
    await con.execute(SQL.trim, webhook_id, MAX_QUEUED)
    await con.execute(SQL.drop_orphans, webhook_id, most)
    return [Delivery(**row) for row in await con.fetch(SQL.next, webhook_id, most)]


async def settle(
    con: Connection, manager: UUID, webhook: DueWebhook, event: Delivery, then: After, answer: Answer
) -> bool:
    """Note what came of a try; False if another manager has the webhook now, or it is gone."""
    noted = {
        "at": answer.at.isoformat(),
        "event_id": str(answer.event_id),
        "action": answer.action,
        "status": answer.status,
        "error": answer.error,
        "took_ms": answer.took_ms,
    }
    held = await con.fetchval(
        SQL.settle,
        webhook.id,
        manager,
        event.id if then.done else None,
        then.failures,
        then.failing_since,
        then.next_try_at,
        int(then.done and not then.dropped),
        int(then.dropped),
        then.problem,
        noted,
    )
    return bool(held)


async def release(con: Connection, manager: UUID, webhook_id: WebhookId) -> None:
    """End the lease."""
    await con.execute(SQL.release, webhook_id, manager)


async def keys(con: Connection, secret_id: SecretId) -> dict[int, SealedSecret]:
    """Return the newest version of a secret, and for a day the one before; newest first."""
    return {
        row["version"]: SealedSecret(row["value"], row["data_key"], row["key_id"])
        for row in await con.fetch(SQL.keys, secret_id)
    }


def _webhook(row: Mapping[str, Any]) -> Webhook:
    answers = tuple(
        Answer(
            at=datetime.fromisoformat(one["at"]),
            event_id=EventId(UUID(one["event_id"])),
            action=one["action"],
            status=one["status"],
            error=one["error"],
            took_ms=one["took_ms"],
        )
        for one in row["answers"]
    )
    return Webhook(**{**row, "kinds": tuple(row["kinds"]), "answers": answers})
