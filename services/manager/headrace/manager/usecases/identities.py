"""Use cases of identities on the bus, for operators."""

from __future__ import annotations

from headrace.common.bus.signing import BusSigning
from headrace.common.contracts.http.joining import BusIdentityView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Conflict, NotFound
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.bus_authority import BusAuthority
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import IdentityState
from headrace.manager.domain.records.events import INSTALLATION
from headrace.manager.store import bus_identities
from headrace.manager.usecases.context import make_page, operators_only, record_of
from headrace.manager.usecases.ports import Pokes
from headrace.manager.views.joining import identity_view


class Identities:
    """Use cases of identities on the bus, for operators."""

    def __init__(self, pool: Pool, authority: BusAuthority, pokes: Pokes) -> None:
        self._pool = pool
        self._authority = authority
        self._pokes = pokes

    async def page(self, actor: Actor, *, after: str, limit: int) -> Page[BusIdentityView]:
        """Return the identities that joined or were revoked, by name. `after`: `name/key`. Raises Forbidden."""
        operators_only(actor, "list identities")
        name, _, key = after.partition("/")
        async with self._pool.acquire() as con:
            found = await bus_identities.page(con, after=(name, key), limit=limit + 1)
        return make_page(found, limit, identity_view, lambda one: f"{one.name}/{one.public_key}")

    async def revoke(self, actor: Actor, name: str, *, reason: str) -> None:
        """Revoke an identity: the bus ends its connections and refuses it. Raises Forbidden, NotFound, Conflict, Unavailable."""
        operators_only(actor, "revoke identities")
        keys = await self._authority.keys()
        async with transaction(self._pool) as con:
            if not await self.revoke_named(con, actor, name, reason, keys):
                raise NotFound(f"there is no identity {name} that is not revoked; see: headrace identity ls")
            was, now = IdentityState(revoked=False), IdentityState(revoked=True)
            await record_of(
                con, actor, "identity.revoked", INSTALLATION, before=was, after=now, message=reason, name=name
            )
        self._pokes.poke("revocations")

    async def keys(self) -> BusSigning | None:
        """Return the signing keys, to be read before a transaction; None where none are configured. Raises Unavailable."""
        return await self._authority.keys() if self._authority.configured else None

    async def revoke_named(
        self, con: Connection, actor: Actor, name: str, reason: str, keys: BusSigning | None
    ) -> bool:
        """Revoke the identity with this name in a transaction, be it one that joined or one of the installation's files.

        Return whether there was one; poke `revocations` after the transaction. Raises Conflict at the limit of revocations.
        """
        if keys is None:
            return False
        await bus_identities.lock_changes(con)
        if len(await bus_identities.revoked(con)) >= bus_identities.MAX_REVOKED:
            raise Conflict(
                f"{bus_identities.MAX_REVOKED} revoked identities have not ended yet; allowed: {bus_identities.MAX_REVOKED}",
                allowed=bus_identities.MAX_REVOKED,
            )
        if await bus_identities.revoke(con, name, actor.name, reason):
            return True
        user = keys.users.get(name)
        return user is not None and await bus_identities.revoke_installed(
            con, user.public_key, name, user.kind, actor.name, reason
        )
