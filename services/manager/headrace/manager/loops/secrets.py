"""Loop of secrets: encrypts data keys anew that a former key of the operator's encrypted."""

from __future__ import annotations

from typing import Final

import structlog

from headrace.common.db.pool import Pool, transaction
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.store import events, secrets

log = structlog.get_logger()
BATCH: Final = 200
ROUNDS: Final = 20
"""Batches of a pass; the rest is left to the next one."""


class SecretsLoop:
    """Reads: versions of secrets whose data key one of the former keys encrypted. Writes: these data keys, encrypted with the first
    key; an event. Any number of managers may run it; each takes other rows.
    """

    def __init__(self, pool: Pool, keys: SecretKeys) -> None:
        self._pool = pool
        self._keys = keys

    async def one_pass(self) -> None:
        """Encrypt a bounded number of data keys anew. Values are not touched."""
        if not self._keys.former:
            return
        done = 0
        for _ in range(ROUNDS):
            found = await self._batch()
            done += found
            if found < BATCH:
                break
        if done:
            log.info("secrets_rewrapped", versions=done, key=self._keys.current)

    async def _batch(self) -> int:
        keys = self._keys
        async with transaction(self._pool) as con:
            found = await secrets.wrapped_by(con, keys.former, BATCH)
            if not found:
                return 0
            changed = {key: keys.rewrapped(sealed, *key) for key, sealed in found.items()}
            await secrets.rewrap(con, changed, keys.current)
            await events.note(con, "secrets.rewrapped", details={"key": keys.current, "versions": len(changed)})
        return len(changed)
