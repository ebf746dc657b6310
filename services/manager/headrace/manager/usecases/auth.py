"""Authentication of requests: by API key, or by a login, which a browser sends as a cookie and a program as a token.

Nothing is cached: a key or login that was deleted is refused by the next request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from headrace.common.contracts.ids import KeyId, LoginId
from headrace.common.contracts.keyform import API_KEY, LOGIN
from headrace.common.contracts.problems import Unauthenticated
from headrace.common.contracts.vocabulary import LoginForm
from headrace.common.db.pool import Pool
from headrace.manager.domain.access import Actor
from headrace.manager.domain.console import BrowserRequest, ConsolePolicy
from headrace.manager.domain.records.keys import KeyLimits
from headrace.manager.domain.records.users import User
from headrace.manager.signing import Vault
from headrace.manager.store import logins, users

_NO_HASH: Final = bytes(32)
DISABLED: Final = "this user is disabled; an operator can end that"


@dataclass(frozen=True)
class Presented:
    """What a request presents of who sends it. Holds secrets."""

    source_address: str
    browser: BrowserRequest
    authorization: str | None = None
    secure_cookies: tuple[str, ...] = ()
    """Values of the login's cookie."""
    plain_cookies: tuple[str, ...] = ()
    """Values of the one that browsers get where they take no secure ones."""
    user_agent: str = ""


class Authentication:
    """Authenticator of API keys and logins."""

    def __init__(self, pool: Pool, vault: Vault, console: ConsolePolicy, *, idle: timedelta) -> None:
        """`idle`: after so long without a request a login has ended."""
        self._pool = pool
        self._vault = vault
        self._console = console
        self._idle = idle

    async def actor(self, presented: Presented) -> Actor:
        """Authenticate a request. Raises Unauthenticated without saying which part of a credential was wrong."""
        if presented.authorization:
            return await self._by_header(presented.authorization, presented.source_address)
        cookie = self.cookie(presented)
        if cookie is None:
            raise Unauthenticated("send an API key: Authorization: Bearer hr_…")
        if (why := self._console.refusal(presented.browser)) is not None:
            raise Unauthenticated(f"the login's cookie does not count: {why}")
        return await self._by_login(cookie, "cookie", presented.source_address)

    def cookie(self, presented: Presented) -> tuple[UUID, str] | None:
        """Return id and secret of the cookie that is presented; None: none that counts.

        Several of one name come from elsewhere than from here.
        """
        for values, counts in (
            (presented.secure_cookies, True),
            (presented.plain_cookies, self._console.plain_counts(presented.browser)),
        ):
            if counts and values:
                return LOGIN.parse(values[0]) if len(values) == 1 else None
        return None

    async def _by_header(self, authorization: str, source_address: str) -> Actor:
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() == "bearer":
            if (key := API_KEY.parse(text.strip())) is not None:
                return await self._by_key(key, source_address)
            if (login := LOGIN.parse(text.strip())) is not None:
                return await self._by_login(login, "token", source_address)
        raise Unauthenticated("the Authorization header holds no API key; allowed: Bearer hr_…")

    async def _by_key(self, key: tuple[UUID, str], source_address: str) -> Actor:
        key_id, secret = key
        async with self._pool.acquire() as con:
            stored = await users.by_key(con, key_id)
            matches = self._vault.matches(secret, stored.secret_hash if stored else _NO_HASH)
            if stored is None or not matches:
                raise Unauthenticated("this API key is not known")
            if stored.expired:
                raise Unauthenticated("this API key has expired")
            if stored.user.disabled_at is not None:
                raise Unauthenticated(DISABLED)
            if stored.stale:
                await users.touch_key(con, key_id)
        return actor_of(stored.user, stored.limits, KeyId(key_id), source_address)

    async def _by_login(self, login: tuple[UUID, str], form: LoginForm, source_address: str) -> Actor:
        login_id, secret = login
        async with self._pool.acquire() as con:
            stored = await logins.by_id(con, login_id, idle=self._idle)
            matches = self._vault.matches(secret, stored.secret_hash if stored else _NO_HASH)
            if stored is None or not matches or stored.form != form or stored.over:
                raise Unauthenticated("this login has ended; log in again")
            if stored.user.disabled_at is not None:
                raise Unauthenticated(DISABLED)
            if stored.stale:
                await logins.touch(con, login_id)
        return actor_of(stored.user, stored.limits, stored.key_id, source_address, LoginId(login_id))


def actor_of(
    user: User, limits: KeyLimits, key_id: KeyId | None, source_address: str, login_id: LoginId | None = None
) -> Actor:
    """Return the user as a caller with what the key allows."""
    return Actor(
        user.id,
        user.name,
        operator=user.operator and limits.projects is None,
        source_address=source_address,
        key_ends_at=limits.ends_at,
        key_id=key_id,
        login_id=login_id,
        read_only=limits.read_only,
        projects=limits.projects,
    )
