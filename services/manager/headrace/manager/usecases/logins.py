"""Use cases of logins: by API key, by name and password, by one-time code; they end by logout, or by their user from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from importlib.metadata import version
from typing import Any, Final
from uuid import UUID

from headrace.common.contracts.http.logins import CurrentLogin, LoginView, NewLogin, NewLoginCode, StartLogin
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.ids import KeyId, LoginId, UserId, new_uuid
from headrace.common.contracts.keyform import API_KEY, LOGIN, LOGIN_CODE
from headrace.common.contracts.problems import Conflict, Forbidden, NotFound, Unauthenticated
from headrace.common.contracts.vocabulary import LoginMethod
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import LoginCodeState, LoginState
from headrace.manager.domain.console import ConsolePolicy
from headrace.manager.domain.logins import Lifetimes
from headrace.manager.domain.records.events import INSTALLATION
from headrace.manager.domain.records.keys import KeyLimits
from headrace.manager.domain.records.users import User
from headrace.manager.signing import Vault
from headrace.manager.store import logins, projects, users
from headrace.manager.usecases.auth import DISABLED, Authentication, Presented, actor_of
from headrace.manager.usecases.context import as_id, make_page, record_of, user_for
from headrace.manager.usecases.failed_attempts import FailedAttempts
from headrace.manager.usecases.passwords import Passwords
from headrace.manager.views.logins import current_login, login_view
from headrace.manager.views.users import user_view

MAX_LOGINS: Final = 100
"""Logins of a user; a further one ends the one that was not used for longest."""
MAX_CODES: Final = 10
"""Codes of a user that have not expired."""
CODE_LIFETIME: Final = timedelta(seconds=60)
_NOBODY: Final = UserId(UUID(int=0))
_MAX_ADDRESS, _MAX_AGENT = 100, 200


@dataclass(frozen=True)
class Identified:
    """Who wants to log in, and by which key."""

    user: User
    key_id: KeyId | None = None
    limits: KeyLimits = field(default_factory=KeyLimits)


class Logins:
    """Use cases of logins."""

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        auth: Authentication,
        passwords: Passwords,
        attempts: FailedAttempts,
        console: ConsolePolicy,
        lifetimes: Lifetimes,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._auth = auth
        self._passwords = passwords
        self._attempts = attempts
        self._console = console
        self._lifetimes = lifetimes

    def cookie_names(self, presented: Presented) -> tuple[str, ...]:
        """Return the names under which the caller gets the cookie. Raises Forbidden for another page than the console's."""
        if (why := self._console.refusal(presented.browser)) is not None:
            raise Forbidden(why)
        names = self._console.cookies(presented.browser)
        if not names:
            raise Forbidden(
                f"found http://{presented.browser.host[:200]}, where a login would go over the network in the clear; allowed: "
                "https, this machine, or a host that the managers' setting insecure_console names"
            )
        return names

    async def start(self, asked: StartLogin, presented: Presented) -> NewLogin:
        """Log in; the token, or the cookie's value, is returned only here. A login that the browser had before ends.

        Raises Unauthenticated without saying which part was wrong, TooManyRequests, Unavailable.
        """
        method, found = await self._identify(asked, presented)
        if found.user.disabled_at is not None:
            await self._refuse(presented.source_address, method, found.user, "disabled", found.key_id)
            raise Unauthenticated(DISABLED)
        login_id = LoginId(new_uuid())
        token, secret = LOGIN.new(login_id)
        address = presented.source_address
        actor = actor_of(found.user, found.limits, found.key_id, address, login_id)
        async with transaction(self._pool) as con:
            await users.lock(con, found.user.id)  # one at a time, so that the number holds
            if not asked.token:
                await self._replace(con, presented)
            await logins.delete_unused(con, found.user.id, keep=MAX_LOGINS - 1)
            made = await logins.insert(
                con,
                login_id,
                found.user.id,
                self._vault.hash(secret),
                form="token" if asked.token else "cookie",
                method=method,
                key_id=found.key_id,
                source_address=address[:_MAX_ADDRESS],
                user_agent=presented.user_agent[:_MAX_AGENT],
                lifetime=self._lifetimes.whole,
                idle=self._lifetimes.idle,
            )
            after, name = LoginState.of(made), found.user.name
            await record_of(
                con, actor, "login.started", INSTALLATION, before=None, after=after, user=name, method=method
            )
        idle_s = int(self._lifetimes.idle.total_seconds())
        return NewLogin(id=made.id, user=user_view(found.user), token=token, ends_at=made.ends_at, idle_s=idle_s)

    async def current(self, actor: Actor) -> CurrentLogin:
        """Return who the caller is, and by what."""
        async with self._pool.acquire() as con:
            user = await users.find(con, str(actor.user_id))
            mine = await projects.of_caller(con, actor)
            login = await logins.find(con, actor.login_id, idle=self._lifetimes.idle) if actor.login_id else None
        if user is None:
            raise NotFound("you are not known any more")
        return current_login(actor, replace(user, operator=actor.operator), mine, login, version("headrace"))

    async def end(self, actor: Actor) -> None:
        """Log out. Raises Conflict for who uses an API key."""
        if actor.login_id is None:
            raise Conflict("found an API key, which is no login; allowed: a login. A key is ended by deleting it")
        async with transaction(self._pool) as con:
            before = await self._state(con, actor.login_id)
            if await logins.delete(con, actor.login_id, actor.user_id):
                await record_of(con, actor, "login.ended", INSTALLATION, before=before, after=None, user=actor.name)

    async def page(self, actor: Actor, reference: str, *, after: UUID, limit: int) -> Page[LoginView]:
        """Return the logins of a user that have not ended. Raises NotFound."""
        async with self._pool.acquire() as con:
            user = await user_for(con, actor, reference)
            found = await logins.page(con, user.id, idle=self._lifetimes.idle, after=after, limit=limit + 1)
        return make_page(found, limit, lambda login: login_view(login, actor), lambda login: login.id)

    async def end_one(self, actor: Actor, reference: str, login: str) -> None:
        """End a login of a user. Raises NotFound."""
        login_id = as_id(login, "login")
        async with transaction(self._pool) as con:
            user = await user_for(con, actor, reference)
            before, name = await self._state(con, LoginId(login_id)), user.name
            if not await logins.delete(con, login_id, user.id):
                raise NotFound(f"{name} has no login {login}")
            await record_of(
                con, actor, "login.ended", INSTALLATION, before=before, after=None, user=name, login=str(login_id)
            )

    async def new_code(self, actor: Actor) -> NewLoginCode:
        """Create a code that logs its user in once, with the rights of the caller's key. Raises Conflict at the limit of codes."""
        code_id = new_uuid()
        code, secret = LOGIN_CODE.new(code_id)
        async with transaction(self._pool) as con:
            await users.lock(con, actor.user_id)
            if (there := await logins.count_codes(con, actor.user_id)) >= MAX_CODES:
                raise Conflict(f"found {there} codes that have not expired; allowed: {MAX_CODES}; each lasts a minute")
            ends_at = await logins.insert_code(
                con, code_id, actor.user_id, self._vault.hash(secret), actor.key_id, CODE_LIFETIME
            )
            after, name = LoginCodeState(expires_at=ends_at), actor.name
            await record_of(con, actor, "login-code.created", INSTALLATION, before=None, after=after, user=name)
        return NewLoginCode(code=code, path=f"/console/login#code={code}", expires_at=ends_at)

    async def _state(self, con: Connection, login_id: LoginId) -> LoginState | None:
        login = await logins.find(con, login_id, idle=self._lifetimes.idle)
        return LoginState.of(login) if login else None

    async def _replace(self, con: Connection, presented: Presented) -> None:
        """End the login that the browser had: what somebody else put there ends with it."""
        before = self._auth.cookie(presented)
        stored = await logins.by_id(con, before[0], idle=self._lifetimes.idle) if before else None
        if before and stored and self._vault.matches(before[1], stored.secret_hash):
            await logins.delete(con, before[0], stored.user.id)

    async def _identify(self, asked: StartLogin, presented: Presented) -> tuple[LoginMethod, Identified]:
        address = presented.source_address
        if asked.user is not None and asked.password is not None:
            found = await self._passwords.check(asked.user, asked.password, address)
            if isinstance(found, User):
                return "password", Identified(found)
            await self._refuse(address, "password", found.user, found.why)
            raise Unauthenticated("this name and password are not known")
        self._attempts.check(address)
        if asked.key is not None:
            return "key", await self._by_key(asked.key, address)
        return "code", await self._by_code(asked.code or "", address)

    async def _by_key(self, text: str, address: str) -> Identified:
        parsed = API_KEY.parse(text.strip())
        stored = None
        if parsed is not None:
            async with self._pool.acquire() as con:
                stored = await users.by_key(con, parsed[0])
        matches = self._vault.matches(parsed[1] if parsed else "", stored.secret_hash if stored else bytes(32))
        if parsed is None or stored is None or not matches or stored.expired:
            self._attempts.failed(address)
            user = stored.user if stored is not None else None
            key_id = KeyId(parsed[0]) if parsed is not None and stored is not None else None
            await self._refuse(address, "key", user, "expired" if matches else "unknown", key_id)
            raise Unauthenticated("this API key has expired" if matches else "this API key is not known")
        return Identified(stored.user, KeyId(parsed[0]), stored.limits)

    async def _by_code(self, text: str, address: str) -> Identified:
        parsed = LOGIN_CODE.parse(text.strip())
        stored = None
        if parsed is not None:
            async with transaction(self._pool) as con:
                stored = await logins.take_code(con, parsed[0])
        matches = self._vault.matches(parsed[1] if parsed else "", stored.secret_hash if stored else bytes(32))
        if stored is None or not matches or stored.expired:
            self._attempts.failed(address)
            await self._refuse(address, "code", stored.user if stored else None, "expired" if matches else "unknown")
            raise Unauthenticated("this code is not known: it is good for a minute, and once")
        return Identified(stored.user, stored.key_id)

    async def _refuse(
        self, address: str, method: LoginMethod, user: User | None, why: str, key_id: KeyId | None = None
    ) -> None:
        """Record a failed login; of a name that no user has nothing is kept, since people type passwords there."""
        who = Actor(user.id, user.name, operator=False, source_address=address, key_id=key_id) if user else None
        actor = who or Actor(_NOBODY, "unknown user", operator=False, source_address=address)
        async with transaction(self._pool) as con:
            details: dict[str, Any] = {"method": method, "why": why} | ({"user": user.name} if user else {})
            await record_of(con, actor, "login.failed", INSTALLATION, before=None, after=None, **details)
