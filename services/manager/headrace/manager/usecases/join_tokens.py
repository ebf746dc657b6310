"""Use cases of join tokens, for operators."""

from __future__ import annotations

import asyncio
from uuid import UUID

from headrace.common.contracts.http.joining import CreateJoinToken, JoinTokenView, NewJoinToken
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.ids import JoinTokenId, new_uuid
from headrace.common.contracts.keyform import JOIN_TOKEN
from headrace.common.contracts.problems import Conflict, InvalidRequest, NotFound
from headrace.common.db.pool import Pool, transaction
from headrace.manager.bus_authority import BusAuthority
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import JoinTokenState
from headrace.manager.domain.join_command import join_command
from headrace.manager.domain.joining import NOUNS
from headrace.manager.domain.records.events import INSTALLATION
from headrace.manager.signing import Vault
from headrace.manager.store import join_tokens, services
from headrace.manager.usecases.context import as_id, make_page, no_group, operators_only, record_of
from headrace.manager.usecases.idempotency import keep
from headrace.manager.usecases.joining import Installation
from headrace.manager.views.joining import join_token_view

MAX_LIVING = 1000
"""Join tokens with which a machine could join now."""


class JoinTokens:
    """Use cases of join tokens, for operators."""

    def __init__(self, pool: Pool, vault: Vault, authority: BusAuthority, installation: Installation) -> None:
        self._pool = pool
        self._vault = vault
        self._authority = authority
        self._installation = installation

    async def create(self, actor: Actor, new: CreateJoinToken) -> NewJoinToken:
        """Create a join token; it is returned only here.

        Raises Forbidden, InvalidRequest for a group that does not exist, Conflict at the limit of tokens, in an installation
        that no machine can join, and for a line that runs an image where none is named.
        """
        operators_only(actor, "make join tokens")
        if new.kind != "agent" and (new.labels or new.resource_group != "default"):
            raise InvalidRequest.of("kind", new.kind, "agent, where resource_group or labels are given")
        if new.form == "docker":
            if new.kind != "agent":
                raise InvalidRequest.of("form", new.form, f"wheels, of {NOUNS[new.kind]}")
            if (why := self._installation.no_image()) is not None:
                raise Conflict(why)
        await self._authority.keys()
        fingerprint = await asyncio.to_thread(self._installation.ca_sha256)
        token_id = JoinTokenId(new_uuid())
        token, secret = JOIN_TOKEN.new(token_id)
        async with transaction(self._pool) as con:
            await join_tokens.lock_changes(con)
            if not await services.group_exists(con, new.resource_group):
                raise await no_group(con, new.resource_group)
            if (living := await join_tokens.living(con)) >= MAX_LIVING:
                raise Conflict(
                    f"there are {living} join tokens that can be used; allowed: {MAX_LIVING}",
                    found=living,
                    allowed=MAX_LIVING,
                )
            made = await join_tokens.insert(
                con,
                token_id,
                self._vault.hash(secret),
                new.kind,
                resource_group=new.resource_group,
                labels=new.labels,
                uses=new.uses,
                created_by=actor.name,
                ttl_s=new.ttl_s,
            )
            after, which = JoinTokenState.seen(made), str(token_id)
            await record_of(con, actor, "join-token.created", INSTALLATION, before=None, after=after, join_token=which)
            await keep(con, actor, join_token_view(made), whole=False)
        url = self._installation.url
        return NewJoinToken(
            **dict(join_token_view(made)),
            token=token,
            url=url,
            ca_sha256=fingerprint,
            command=join_command(new.kind, new.form, url=url, token=token, ca_sha256=fingerprint),
        )

    async def page(self, actor: Actor, *, after: UUID, limit: int) -> Page[JoinTokenView]:
        """Return join tokens without their secrets, also those that are over. Raises Forbidden."""
        operators_only(actor, "list join tokens")
        async with self._pool.acquire() as con:
            found = await join_tokens.page(con, after=after, limit=limit + 1)
        return make_page(found, limit, join_token_view, lambda token: token.id)

    async def revoke(self, actor: Actor, token: str) -> None:
        """Revoke a join token; machines that have joined with it stay. Raises Forbidden, NotFound."""
        operators_only(actor, "revoke join tokens")
        token_id = as_id(token, "join token")
        async with transaction(self._pool) as con:
            held = await join_tokens.lock(con, token_id)
            if held is None:
                raise NotFound(f"there is no join token {token}")
            if await join_tokens.revoke(con, token_id):
                was, now = JoinTokenState.seen(held.token), JoinTokenState.seen(held.token, revoked=True)
                await record_of(
                    con, actor, "join-token.revoked", INSTALLATION, before=was, after=now, join_token=str(token_id)
                )
