"""Tokens of services."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.tokens import CreateToken, NewToken, TokenView
from headrace.common.contracts.ids import TokenId, new_uuid
from headrace.common.contracts.problems import NotFound
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.access import Actor
from headrace.manager.signing import SigningKey, Vault
from headrace.manager.store import events, tokens
from headrace.manager.usecases.context import a_page, as_id, invalid, service_for
from headrace.manager.usecases.ports import Pokes

DEFAULT_LIFETIME = timedelta(days=30)
LONGEST = timedelta(days=3651)


class SigningKeys:
    """The key that signs tokens: one per installation, made once, its private part sealed."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def current(self, con: Connection) -> SigningKey:
        """Return the key; makes it, if there is none (call inside a transaction)."""
        stored = await tokens.signing_key(con)
        if stored is None:
            await tokens.lock_signing(con)
            stored = await tokens.signing_key(con)  # another manager may have made it while this one waited
        if stored is not None:
            kid, sealed = stored
            return SigningKey.load(kid, self._vault.open(sealed, label=f"signing-key {kid}"))
        key = SigningKey.generate()
        sealed = self._vault.seal(key.private.private_bytes_raw(), label=f"signing-key {key.kid}")
        await tokens.insert_signing_key(con, key.kid, sealed, key.public_bytes())
        return key


class Tokens:
    """What can be done with tokens."""

    def __init__(self, pool: Pool, keys: SigningKeys, pokes: Pokes, clock: Clock) -> None:
        self._pool = pool
        self._keys = keys
        self._pokes = pokes
        self._clock = clock

    async def create(self, actor: Actor, reference: str, new: CreateToken) -> NewToken:
        """Make a token; this is the only time that it is shown. Raises NotFound, Forbidden, InvalidRequest for a bad date."""
        now = self._clock()
        expires_at = _expiry(new, now)
        token_id = TokenId(new_uuid())
        async with transaction(self._pool) as con:
            facts = await service_for(con, actor, reference, "member")
            key = await self._keys.current(con)
            view = await tokens.insert(con, token_id, facts.service.id, new.name, actor.user_id, actor.name, expires_at)
            await events.record(
                con, actor, "token.created", project_id=facts.service.project_id, service_id=facts.service.id,
                details={"token_id": str(token_id), "name": new.name, "expires_at": expires_at.isoformat()},
            )  # fmt: skip
        token = key.token(facts.service.id, token_id, issued_at=now, expires_at=expires_at)
        return NewToken(**view.model_dump(), token=token)

    async def page(self, actor: Actor, reference: str, *, after: UUID, limit: int) -> Page[TokenView]:
        """Return the service's tokens without their secrets. Raises NotFound."""
        async with self._pool.acquire(timeout=10) as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = await tokens.page(con, facts.service.id, after=after, limit=limit + 1)
        return a_page(found, limit, lambda token: token, lambda token: token.id)

    async def revoke(self, actor: Actor, reference: str, token: str) -> None:
        """Revoke a token; app-proxies refuse it within a second. Raises NotFound, Forbidden."""
        token_id = as_id(token, "token")
        async with transaction(self._pool) as con:
            facts = await service_for(con, actor, reference, "member")
            if not await tokens.revoke(con, facts.service.id, token_id):
                raise NotFound(f"service {facts.service.name} has no token {token}")
            await events.record(
                con, actor, "token.revoked", project_id=facts.service.project_id, service_id=facts.service.id,
                details={"token_id": str(token_id)},
            )  # fmt: skip
        self._pokes.poke("routes")


def _expiry(new: CreateToken, now: datetime) -> datetime:
    if new.expires_at is not None and new.expires_in_s is not None:
        raise invalid("expires_at", "expires_at and expires_in_s", "one of them")
    if new.expires_at is None:
        lifetime = DEFAULT_LIFETIME if new.expires_in_s is None else timedelta(seconds=new.expires_in_s)
        expires_at = now + lifetime
    else:
        expires_at = new.expires_at
    if not now < expires_at <= now + LONGEST:
        raise invalid("expires_at", expires_at.isoformat(), f"a time after now and at most {LONGEST.days} days away")
    whole = expires_at.replace(microsecond=0)  # a JWT's exp counts seconds
    return whole if whole == expires_at else whole + timedelta(seconds=1)
