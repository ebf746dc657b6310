"""Use cases of named clients of services."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from headrace.common.contracts.http.clients import ClientView, CreateClient, NewClient
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.revocations import RevocationView
from headrace.common.contracts.http.tokens import UpdateCaller
from headrace.common.contracts.ids import ClientId, new_uuid
from headrace.common.contracts.problems import NotFound
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import object_limits
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import ClientState
from headrace.manager.domain.entity_tags import tag_of_client
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.records.clients import Client
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.signing import new_client_secret
from headrace.manager.store import clients, tokens
from headrace.manager.usecases.caller_bodies import caller_change
from headrace.manager.usecases.context import check_match, locked_service, make_page, record_of, service_for
from headrace.manager.usecases.idempotency import keep
from headrace.manager.usecases.ports import Pokes
from headrace.manager.usecases.revocations import Revocations
from headrace.manager.views.clients import client_view, new_client_view


class Clients:
    """Use cases of named clients. App-proxies apply each change within a second."""

    def __init__(self, pool: Pool, pokes: Pokes, limits: ObjectLimits, revocations: Revocations) -> None:
        self._pool = pool
        self._revocations = revocations
        self._pokes = pokes
        self._limits = limits

    async def create(self, actor: Actor, reference: str, new: CreateClient) -> NewClient:
        """Create a client; its secret is returned only here. Raises NotFound, Forbidden, NameTaken, Conflict."""
        client_id = ClientId(new_uuid())
        secret, digest = new_client_secret()
        async with transaction(self._pool) as con:
            facts = await locked_service(con, actor, reference, "member")  # one at a time, so that the count holds
            there = await clients.living(con, facts.service.id)
            object_limits.check(f"service {facts.service.name}", "clients", there, self._limits.clients_per_service)
            made = await clients.insert(
                con,
                client_id,
                facts.service.id,
                new.name,
                digest,
                new.limits,
                new.share,
                user_id=actor.user_id,
                creator=actor.name,
            )
            details = {"limits": tokens.plain(new.limits), "share": new.share}
            await _record(con, actor, "client.created", facts, None, made, **details)
            await keep(con, actor, client_view(made), whole=False)
        self._pokes.poke("routes")
        return new_client_view(made, secret)

    async def page(self, actor: Actor, reference: str, *, after: UUID, limit: int) -> Page[ClientView]:
        """Return the service's clients without their secrets. Raises NotFound."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = await clients.page(con, facts.service.id, after=after, limit=limit + 1)
        return make_page(found, limit, client_view, lambda client: client.id)

    async def rotate(self, actor: Actor, reference: str, client: str) -> NewClient:
        """Replace a client's secret, returned only here; the old one is refused within a second. Raises NotFound, Forbidden."""
        secret, digest = new_client_secret()
        async with transaction(self._pool) as con:
            facts, before = await _client(con, actor, reference, client)
            client_id = before.id
            following = await self._revocations.begin(con, facts.service.id)
            rotated = _there(await clients.rotate(con, client_id, digest), facts, client)
            await following.note(con, client_id)
            await _record(con, actor, "client.rotated", facts, before, rotated)
        self._pokes.poke("routes")
        return new_client_view(rotated, secret)

    async def update(self, actor: Actor, reference: str, client: str, change: UpdateCaller) -> ClientView:
        """Update limits and share. Raises NotFound, Forbidden."""
        async with transaction(self._pool) as con:
            facts, before = await _client(con, actor, reference, client)
            after = _there(await clients.update(con, before.id, caller_change(change)), facts, client)
            details = change.model_dump(mode="json", exclude_unset=True)
            await _record(con, actor, "client.updated", facts, before, after, **details)
        self._pokes.poke("routes")
        return client_view(after)

    async def revoke(self, actor: Actor, reference: str, client: str) -> RevocationView:
        """Revoke a client: its name is free at once, its secret refused within a second.

        Return the progress of the revocation.

        Raises NotFound, Forbidden.
        """
        async with transaction(self._pool) as con:
            facts, before = await _client(con, actor, reference, client)
            client_id = before.id
            following = await self._revocations.begin(con, facts.service.id)
            await clients.revoke(con, client_id)
            await following.note(con, client_id)
            await _record(con, actor, "client.revoked", facts, before, None)
        self._pokes.poke("routes")
        return await self._revocations.look(client_id, facts.service.id)


async def _client(con: Connection, actor: Actor, reference: str, client: str) -> tuple[ServiceFacts, Client]:
    """Lock the client until the transaction ends. Raises NotFound, Forbidden, PreconditionFailed."""
    facts = await service_for(con, actor, reference, "member")
    client_id = await clients.find(con, facts.service.id, client)
    if client_id is None:
        raise _missing(facts, client)
    held = _there(await clients.hold(con, client_id), facts, client)
    check_match(actor, f"client {held.name}", tag_of_client(held))
    return facts, held


def _there(found: Client | None, facts: ServiceFacts, client: str) -> Client:
    if found is None:
        raise _missing(facts, client)
    return found


def _missing(facts: ServiceFacts, client: str) -> NotFound:
    return NotFound(f"service {facts.service.name} has no client {client}")


async def _record(
    con: Connection,
    actor: Actor,
    action: str,
    facts: ServiceFacts,
    before: Client | None,
    after: Client | None,
    **details: Any,
) -> None:
    client = after or before
    assert client is not None  # noqa: S101 - it was there before, or is now
    was, now = (ClientState.of(one) if one else None for one in (before, after))
    which, name = str(client.id), client.name
    await record_of(con, actor, action, facts.scope, before=was, after=now, client_id=which, name=name, **details)
