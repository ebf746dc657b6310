"""Use cases of passwords: they are checked at a login, set, and taken away."""

from __future__ import annotations

import math
from dataclasses import dataclass

from headrace.common.contracts.http.logins import PutPassword
from headrace.common.contracts.problems import Forbidden, InvalidRequest, TooManyRequests, Unavailable
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import PasswordState
from headrace.manager.domain.logins import WINDOW, Tries, needs_current, outlives, tries
from headrace.manager.domain.records.events import INSTALLATION
from headrace.manager.domain.records.logins import StoredPassword
from headrace.manager.domain.records.users import User
from headrace.manager.signing import Vault
from headrace.manager.store import logins, users
from headrace.manager.usecases.context import own_rights_only, record_of, user_for
from headrace.manager.usecases.password_hashes import PasswordHashes


@dataclass(frozen=True)
class Wrong:
    """Why a name and password open nothing, for the audit log."""

    user: User | None
    why: str


class Passwords:
    """Use cases of passwords. How often they are tried is counted in the database, for all managers together."""

    def __init__(self, pool: Pool, vault: Vault, hashes: PasswordHashes) -> None:
        self._pool = pool
        self._vault = vault
        self._hashes = hashes

    async def check(self, name: str, password: str, address: str) -> User | Wrong:
        """Return whose name and password this is. The work is the same for a name that nobody has.

        Raises TooManyRequests for a name or address that was tried too often, right or wrong; Unavailable.
        """
        counted = tries(name, address)
        await self._count(counted)
        async with self._pool.acquire() as con:
            stored = await logins.password(con, name)
        hashed = stored.hash if stored is not None else None
        try:
            matches = await self._hashes.matches(password, hashed)
        except Unavailable:
            await self._take_back(counted)  # nothing was learnt
            raise
        if stored is None or hashed is None or not matches:
            return Wrong(stored.user if stored else None, _why(stored))
        await self._take_back(counted)
        if self._hashes.outdated(hashed):
            renewed = await self._hashes.make(password)
            async with self._pool.acquire() as con:
                await logins.replace_hash(con, stored.user.id, hashed, renewed)
        return stored.user

    async def put(self, actor: Actor, reference: str, body: PutPassword) -> None:
        """Set a user's password, or take it away; the user's other logins end.

        Raises NotFound, Forbidden, InvalidRequest for a wrong present password, TooManyRequests, Unavailable.
        """
        own_rights_only(actor, "set passwords")
        async with self._pool.acquire() as con:
            user = await user_for(con, actor, reference)
        if body.password is not None and outlives(actor, user.id, has_password=user.has_password):
            raise Forbidden(
                "the API key that you use expires, and a password does not; allowed: a key that does not expire, or an operator"
            )
        if needs_current(actor, user.id, has_password=user.has_password):
            await self._check_current(user, body, actor.source_address)
        hashed = await self._hashes.make(body.password) if body.password is not None else None
        async with transaction(self._pool) as con:
            await users.lock(con, user.id)
            before = PasswordState(password=(await user_for(con, actor, str(user.id))).has_password)
            await self._write(con, user, hashed)
            ended = await logins.delete_others(con, user.id, actor.login_id)
            action = "password.removed" if hashed is None else "password.set"
            after, name = PasswordState(password=hashed is not None), user.name
            await record_of(con, actor, action, INSTALLATION, before=before, after=after, user=name, ended_logins=ended)

    async def _check_current(self, user: User, body: PutPassword, address: str) -> None:
        if body.current is None:
            raise InvalidRequest.of("current", "nothing", "the present password")
        if isinstance(await self.check(user.name, body.current, address), Wrong):
            raise InvalidRequest.of("current", "another one", "the present password")

    async def _write(self, con: Connection, user: User, hashed: str | None) -> None:
        if hashed is None:
            await logins.delete_password(con, user.id)
        else:
            await logins.put_password(con, user.id, hashed)

    async def _count(self, counted: tuple[Tries, ...]) -> None:
        """Count a try of each. Raises TooManyRequests; those that come at once are counted before any is judged."""
        for one in counted:
            async with self._pool.acquire() as con:
                number, left_s = await logins.count_try(con, self._vault.hash(one.text), WINDOW)
            if number > one.most:
                raise TooManyRequests(
                    f"found more than {one.most} tries of passwords {one.shown} within {WINDOW.total_seconds() / 60:g} minutes; "
                    f"allowed: {one.most}",
                    retry_after_s=math.ceil(max(left_s, 1.0)),
                    found=number,
                    allowed=one.most,
                )

    async def _take_back(self, counted: tuple[Tries, ...]) -> None:
        async with self._pool.acquire() as con:
            for one in counted:
                await logins.take_back_try(con, self._vault.hash(one.text))


def _why(stored: StoredPassword | None) -> str:
    if stored is None:
        return "unknown name"
    return "wrong password" if stored.hash is not None else "no password"
