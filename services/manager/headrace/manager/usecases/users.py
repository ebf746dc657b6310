"""Use cases of users and their API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.common.contracts.http.keys import CreateKey, KeyView, NewKey, UpdateKey
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.users import CreateUser, UpdateUser, UserView
from headrace.common.contracts.ids import KeyId, new_uuid
from headrace.common.contracts.keyform import API_KEY
from headrace.common.contracts.problems import Conflict, InvalidRequest, NotFound
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import access, object_limits
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import KeyState, UserState
from headrace.manager.domain.entity_tags import tag_of_key, tag_of_user
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.records.events import INSTALLATION
from headrace.manager.domain.records.keys import Key, KeyChange
from headrace.manager.domain.records.users import User
from headrace.manager.signing import Vault
from headrace.manager.store import logins, users
from headrace.manager.usecases.context import (
    as_id,
    check_match,
    make_page,
    operators_only,
    own_rights_only,
    project_ids,
    record_of,
    user_for,
)
from headrace.manager.usecases.expiries import AskedExpiry, end_of
from headrace.manager.usecases.idempotency import keep
from headrace.manager.views.keys import key_view, new_key_view
from headrace.manager.views.users import user_view

_MIN_LIFE_S = 60
"""Shortest life of a key."""
_EXPIRY = frozenset({"expires_at", "expires_in_s"})


class Users:
    """Use cases of users and API keys. Operators act for everybody, others for themselves."""

    def __init__(self, pool: Pool, vault: Vault, limits: ObjectLimits) -> None:
        self._pool = pool
        self._vault = vault
        self._limits = limits

    async def create(self, actor: Actor, new: CreateUser) -> UserView:
        """Create a user. Raises Forbidden, NameTaken."""
        operators_only(actor, "create users")
        async with transaction(self._pool) as con:
            user = await users.insert(con, new.name, operator=new.operator)
            after = UserState.of(user)
            await record_of(con, actor, "user.created", INSTALLATION, before=None, after=after, user=user.name)
            view = user_view(user)
            await keep(con, actor, view)
        return view

    async def page(self, actor: Actor, *, after: UUID, limit: int) -> Page[UserView]:
        """Return all users. Raises Forbidden."""
        operators_only(actor, "list users")
        async with self._pool.acquire() as con:
            found = await users.page(con, after=after, limit=limit + 1)
        return make_page(found, limit, user_view, lambda user: user.id)

    async def get(self, actor: Actor, reference: str) -> UserView:
        """Return a user. Raises NotFound, also of others than oneself."""
        async with self._pool.acquire() as con:
            return user_view(await user_for(con, actor, reference))

    async def update(self, actor: Actor, reference: str, change: UpdateUser) -> UserView:
        """Set whether a user is an operator, and whether disabled; who is disabled is refused from the next request on.

        Raises Forbidden, NotFound, Conflict when no operator would be left.
        """
        operators_only(actor, "change users")
        given = change.model_fields_set
        async with transaction(self._pool) as con:
            operators = await users.lock_operators(con)  # one change at a time, so that one operator is left
            user = await users.find(con, reference)
            if user is None:
                raise NotFound(f"there is no user {reference}")
            check_match(actor, f"user {user.name}", tag_of_user(user))
            operator = bool(change.operator) if "operator" in given else user.operator
            disabled = bool(change.disabled) if "disabled" in given else user.disabled_at is not None
            if operators == [user.id] and (disabled or not operator):
                raise Conflict(f"{user.name} is the last operator; make another one first")
            after = await users.update(con, user.id, operator=operator, disabled=disabled)
            details: dict[str, Any] = {"user": user.name}
            if disabled:
                await logins.delete_codes(con, user.id)
                details["ended_logins"] = await logins.delete_others(con, user.id, None)
            was, now = UserState.of(user), UserState.of(after)
            await record_of(con, actor, "user.updated", INSTALLATION, before=was, after=now, **details)
        return user_view(after)

    async def create_key(self, actor: Actor, reference: str, new: CreateKey) -> NewKey:
        """Create an API key; it is returned only here.

        Raises NotFound, InvalidRequest when it would outlive the caller's key, Conflict at the limit of keys.
        """
        own_rights_only(actor, "make keys")
        key_id = KeyId(new_uuid())
        key, secret = API_KEY.new(key_id)
        async with transaction(self._pool) as con:
            user = await user_for(con, actor, reference)
            await users.lock(con, user.id)  # one at a time, so that the count holds
            end = await users.ending(con, user.id, key_id)
            ends_at = end_of(new, end.now, least_s=_MIN_LIFE_S)
            _check_end(new, ends_at, access.latest_key_end(actor, user.id), end.now)
            object_limits.check(
                f"user {user.name}", "keys", await users.count_keys(con, user.id), self._limits.keys_per_user
            )
            await users.drop_expired(con, user.id, keep=self._limits.keys_per_user)
            made = await users.insert_key(
                con,
                key_id,
                user.id,
                new.name,
                self._vault.hash(secret),
                ends_at=ends_at,
                read_only=new.read_only,
                projects=await project_ids(con, actor, new.projects),
            )
            await _record(con, actor, "key.created", user, key_id, None, made)
            await keep(con, actor, key_view(made), whole=False)
        return new_key_view(made, key)

    async def keys(self, actor: Actor, reference: str, *, after: UUID, limit: int) -> Page[KeyView]:
        """Return the user's keys without their secrets. Raises NotFound."""
        async with self._pool.acquire() as con:
            user = await user_for(con, actor, reference)
            found = await users.keys(con, user.id, after=after, limit=limit + 1)
        return make_page(found, limit, key_view, lambda key: key.id)

    async def update_key(self, actor: Actor, reference: str, key: str, change: UpdateKey) -> KeyView:
        """Update a key's name and expiry; the key itself stays.

        Raises NotFound, InvalidRequest when it would outlive both its expiry and the caller's key, Conflict when an
        expired one would exceed the limit of keys.
        """
        own_rights_only(actor, "change keys")
        key_id = as_id(key, "key")
        async with transaction(self._pool) as con:
            user = await user_for(con, actor, reference)
            await users.lock(con, user.id)
            before = await _hold_key(con, actor, user, key_id)
            end = await users.ending(con, user.id, key_id)
            given = change.model_fields_set
            set_end, ends_at = bool(given & _EXPIRY), end_of(change, end.now, least_s=_MIN_LIFE_S)
            if set_end and end.ends_at is not None:
                _check_end(change, ends_at, access.latest_key_end(actor, user.id, end.ends_at), end.now)
            changed = KeyChange(
                name=(change.name or CreateKey().name) if "name" in given else None,
                set_end=set_end,
                ends_at=ends_at,
                read_only=bool(change.read_only) if "read_only" in given else None,
                set_projects="projects" in given,
                projects=await project_ids(con, actor, change.projects),
            )
            after = await users.update_key(con, user.id, key_id, changed)
            assert after is not None  # noqa: S101 - it is locked
            object_limits.check(
                f"user {user.name}", "keys", await users.count_keys(con, user.id) - 1, self._limits.keys_per_user
            )
            await _record(con, actor, "key.updated", user, key_id, before, after)
        return key_view(after)

    async def delete_key(self, actor: Actor, reference: str, key: str) -> None:
        """Delete a key; it is refused from the next request on, and so are logins that came from it. Raises NotFound, Forbidden."""
        own_rights_only(actor, "delete keys")
        key_id = as_id(key, "key")
        async with transaction(self._pool) as con:
            user = await user_for(con, actor, reference)
            before = await _hold_key(con, actor, user, key_id)
            await users.delete_key(con, user.id, key_id)
            await _record(con, actor, "key.deleted", user, key_id, before, None)


async def _record(
    con: Connection, actor: Actor, action: str, user: User, key_id: UUID, before: Key | None, after: Key | None
) -> None:
    was, now = (KeyState.of(key) if key else None for key in (before, after))
    await record_of(con, actor, action, INSTALLATION, before=was, after=now, user=user.name, key_id=str(key_id))


async def _hold_key(con: Connection, actor: Actor, user: User, key_id: UUID) -> Key:
    """Lock the user's key until the transaction ends. Raises NotFound, PreconditionFailed."""
    held = await users.hold_key(con, user.id, key_id)
    if held is None:
        raise NotFound(f"{user.name} has no key {key_id}")
    check_match(actor, f"key {key_id}", tag_of_key(held))
    return held


def _check_end(asked: AskedExpiry, ends_at: datetime | None, latest: datetime | None, now: datetime) -> None:
    if (passed := access.lasts_too_long(ends_at, latest, now)) is not None:
        raise InvalidRequest.of("expires_in_s" if asked.expires_at is None else "expires_at", *passed)
