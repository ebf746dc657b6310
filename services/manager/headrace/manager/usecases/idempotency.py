"""Idempotency keys of creations: the answer is kept in the transaction that creates, and given again to a repeated request.

A key belongs to the credential that sent it. A secret that is shown once is not kept (ADR 42).
"""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel

from headrace.common.contracts.problems import Conflict, IdempotencyKeyReused
from headrace.common.db.pool import Connection, Pool
from headrace.manager.domain.access import Actor
from headrace.manager.domain.idempotency import MAX_ANSWER_BYTES, IdempotencyKey, KeptAnswer
from headrace.manager.signing import Vault
from headrace.manager.store import idempotency


class Idempotency:
    """Use cases of idempotency keys."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    def key(self, key: str, request: str) -> IdempotencyKey:
        """Return the key of this request. The hash is keyed: the request may hold what is easily guessed."""
        return IdempotencyKey(key, self._vault.hash(request))

    async def answered(self, actor: Actor) -> KeptAnswer | None:
        """Return what was answered to the request with the caller's key; None: it was not carried out.

        Raises IdempotencyKeyReused if that was another request.
        """
        if actor.idempotency is None:
            return None
        async with self._pool.acquire() as con:
            kept = await idempotency.find(con, _credential(actor), actor.idempotency.key)
        if kept is not None and kept.request_hash != actor.idempotency.request_hash:
            raise IdempotencyKeyReused(
                "Idempotency-Key: found one that was sent with another request; allowed: a new one for each creation, "
                "the same one with the same method, path and body"
            )
        return kept


async def keep(con: Connection, actor: Actor, answer: BaseModel, *, whole: bool = True) -> None:
    """Keep the answer with the caller's idempotency key, if it sent one: the last step of a transaction that creates.

    `whole`: False for an answer that is more than `answer`, such as a secret. Raises Conflict if a request with this key was
    carried out meanwhile: then nothing may be committed.
    """
    if actor.idempotency is None:
        return
    text = answer.model_dump_json(warnings=False)
    if len(text.encode()) > MAX_ANSWER_BYTES:
        text, whole = answer.model_dump_json(include={"id", "name"}), False
    kept = KeptAnswer(actor.idempotency.request_hash, text, whole)
    if not await idempotency.insert(con, _credential(actor), actor.user_id, actor.idempotency.key, kept):
        raise Conflict("another request with this Idempotency-Key was carried out meanwhile; repeat this one")


async def forget(con: Connection, actor: Actor) -> None:
    """Forget the caller's idempotency key: what it created is gone, and the request may be carried out again."""
    if actor.idempotency is not None:
        await idempotency.delete(con, _credential(actor), actor.idempotency.key)


def _credential(actor: Actor) -> UUID:
    return actor.login_id or actor.key_id or actor.user_id
