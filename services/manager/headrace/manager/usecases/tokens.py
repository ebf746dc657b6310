"""Use cases of tokens, of services and of projects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.revocations import RevocationView
from headrace.common.contracts.http.tokens import CreateToken, NewToken, TokenView, UpdateToken
from headrace.common.contracts.ids import ProjectId, ServiceId, TokenId, new_uuid
from headrace.common.contracts.problems import Conflict, InvalidRequest, NotFound
from headrace.common.contracts.vocabulary import Role
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain import object_limits
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import TokenState
from headrace.manager.domain.entity_tags import tag_of_token
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.tokens import Token
from headrace.manager.signing import SigningKey, Vault
from headrace.manager.store import projects, services, tokens
from headrace.manager.usecases.caller_bodies import caller_change
from headrace.manager.usecases.context import as_id, check_match, make_page, project_for, record_of, service_for
from headrace.manager.usecases.expiries import LONGEST, one_expiry
from headrace.manager.usecases.idempotency import keep
from headrace.manager.usecases.ports import Pokes
from headrace.manager.usecases.revocations import Revocations
from headrace.manager.views.tokens import new_token_view, token_view

DEFAULT_LIFETIME = timedelta(days=30)
TokenScope = Literal["service", "project"]


class SigningKeys:
    """Signing key of tokens: one per installation, its private part encrypted."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def current(self, con: Connection) -> SigningKey:
        """Return the key; creates it if there is none (call inside a transaction)."""
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


@dataclass(frozen=True)
class ScopedTarget:
    """Target of a token's scope: one service, or all services of a project."""

    project_id: ProjectId
    service_id: ServiceId | None
    words: str

    @property
    def subject(self) -> ServiceId | ProjectId:
        """The `sub` of the token."""
        return self.project_id if self.service_id is None else self.service_id


class Tokens:
    """Use cases of tokens. `scope` selects whether the reference is a service's or a project's."""

    def __init__(
        self, pool: Pool, keys: SigningKeys, pokes: Pokes, clock: Clock, limits: ObjectLimits, revocations: Revocations
    ) -> None:
        self._pool = pool
        self._revocations = revocations
        self._keys = keys
        self._pokes = pokes
        self._clock = clock
        self._limits: dict[TokenScope, int] = {
            "service": limits.tokens_per_service,
            "project": limits.tokens_per_project,
        }

    async def create(self, actor: Actor, scope: TokenScope, reference: str, new: CreateToken) -> NewToken:
        """Create a token; it is returned only here. Raises NotFound, Forbidden, Conflict; InvalidRequest for a bad date."""
        now = self._clock()
        expires_at = _expiry(new, now)
        token_id = TokenId(new_uuid())
        async with transaction(self._pool) as con:
            target = await _target(con, actor, scope, reference, "member")
            await _hold(con, target)  # one at a time, so that the count holds
            there = await tokens.living(con, target.subject)
            object_limits.check(target.words, "tokens that have not expired", there, self._limits[scope])
            key = await self._keys.current(con)
            made = await tokens.insert(
                con,
                token_id,
                new.name,
                new.limits,
                new.share,
                service_id=target.service_id,
                project_id=None if target.service_id else target.project_id,
                user_id=actor.user_id,
                creator=actor.name,
                expires_at=expires_at,
            )
            details = {"name": new.name, "expires_at": expires_at.isoformat(), "limits": tokens.plain(new.limits)}
            after = TokenState.seen(made)
            await _record(con, actor, "token.created", target, made, None, after, **details, share=new.share)
            await keep(con, actor, token_view(made), whole=False)
        token = key.token(
            target.subject, token_id, issued_at=now, expires_at=expires_at, limits=new.limits, share=new.share
        )
        self._pokes.poke("routes")
        return new_token_view(made, token)

    async def page(
        self, actor: Actor, scope: TokenScope, reference: str, *, after: UUID, limit: int
    ) -> Page[TokenView]:
        """Return the tokens without their secrets. Raises NotFound."""
        async with self._pool.acquire() as con:
            target = await _target(con, actor, scope, reference, "viewer")
            found = await tokens.page(con, target.subject, after=after, limit=limit + 1)
        return make_page(found, limit, token_view, lambda token: token.id)

    async def update(
        self, actor: Actor, scope: TokenScope, reference: str, token: str, change: UpdateToken
    ) -> TokenView:
        """Update name, limits and share; app-proxies apply it within a second.

        Raises NotFound, Forbidden, Conflict when it has expired.
        """
        token_id = TokenId(as_id(token, "token"))
        async with transaction(self._pool) as con:
            target = await _target(con, actor, scope, reference, "member")
            before = await _held(con, actor, target, token_id)
            name = (change.name or "") if "name" in change.model_fields_set else None
            after = await tokens.update(con, target.subject, token_id, name, caller_change(change))
            assert after is not None  # noqa: S101 - it is locked
            if after.revoked_at is not None or after.expires_at <= self._clock():
                over = "was revoked" if after.revoked_at is not None else "has expired"
                raise Conflict(
                    f"token {token} of {target.words} {over}: nothing of it counts any more; make another one"
                )
            details = change.model_dump(mode="json", exclude_unset=True)
            was, now = TokenState.seen(before), TokenState.seen(after)
            await _record(con, actor, "token.updated", target, after, was, now, **details)
        self._pokes.poke("routes")
        return token_view(after)

    async def revoke(self, actor: Actor, scope: TokenScope, reference: str, token: str) -> RevocationView:
        """Revoke a token; app-proxies refuse it within a second. Return the progress. Raises NotFound, Forbidden."""
        token_id = TokenId(as_id(token, "token"))
        async with transaction(self._pool) as con:
            target = await _target(con, actor, scope, reference, "member")
            await _hold(con, target)  # so that no service is made meanwhile
            held = await _held(con, actor, target, token_id)
            following = await self._revocations.begin(con, target.subject)
            if await tokens.revoke(con, target.subject, token_id):
                await following.note(con, token_id)
            if held.revoked_at is None:
                revoked = TokenState.seen(held, revoked=True)
                await _record(con, actor, "token.revoked", target, held, TokenState.seen(held), revoked)
        self._pokes.poke("routes")
        return await self._revocations.look(token_id, target.subject)

    async def revocation(self, actor: Actor, scope: TokenScope, reference: str, credential: str) -> RevocationView:
        """Return the progress of the revocation of a token, or of a service's client. Raises NotFound."""
        credential_id = as_id(credential, "token or client")
        async with self._pool.acquire() as con:
            target = await _target(con, actor, scope, reference, "viewer")
        return await self._revocations.look(credential_id, target.subject)


async def _hold(con: Connection, target: ScopedTarget) -> None:
    if target.service_id is None:
        await projects.lock(con, target.project_id)
    else:
        await services.lock(con, target.service_id)


async def _held(con: Connection, actor: Actor, target: ScopedTarget, token_id: TokenId) -> Token:
    """Lock the token until the transaction ends. Raises NotFound, PreconditionFailed."""
    held = await tokens.hold(con, target.subject, token_id)
    if held is None:
        raise NotFound(f"{target.words} has no token {token_id}")
    check_match(actor, f"token {token_id}", tag_of_token(held))
    return held


async def _target(con: Connection, actor: Actor, scope: TokenScope, reference: str, needed: Role) -> ScopedTarget:
    if scope == "project":
        project = await project_for(con, actor, reference, needed)
        return ScopedTarget(project.id, None, f"project {project.name}")
    service = (await service_for(con, actor, reference, needed)).service
    return ScopedTarget(service.project_id, service.id, f"service {service.name}")


async def _record(
    con: Connection,
    actor: Actor,
    action: str,
    target: ScopedTarget,
    token: Token,
    before: TokenState | None,
    after: TokenState,
    **details: Any,
) -> None:
    scope, which = Scope(target.project_id, target.service_id), str(token.id)
    await record_of(con, actor, action, scope, before=before, after=after, token_id=which, **details)


def _expiry(new: CreateToken, now: datetime) -> datetime:
    one_expiry(new)
    if new.expires_at is None:
        lifetime = DEFAULT_LIFETIME if new.expires_in_s is None else timedelta(seconds=new.expires_in_s)
        expires_at = now + lifetime
    else:
        expires_at = new.expires_at
    if not now < expires_at <= now + LONGEST:
        raise InvalidRequest.of(
            "expires_at", expires_at.isoformat(), f"a time after now and at most {LONGEST.days} days away"
        )
    whole = expires_at.replace(microsecond=0)  # a JWT's exp counts seconds
    return whole if whole == expires_at else whole + timedelta(seconds=1)
