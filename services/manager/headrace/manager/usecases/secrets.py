"""Use cases of secrets: owners store and delete them, members refer to them in specs, viewers see their names.

No answer, event, log line or error has a value.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.secrets import PutSecret, SecretDetail, SecretView
from headrace.common.contracts.ids import SecretId, new_uuid
from headrace.common.contracts.problems import Conflict, InUse, InvalidRequest, NotFound, Unavailable
from headrace.common.contracts.secret import SECRET_NAMES, is_secret_name
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import object_limits
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import SecretState
from headrace.manager.domain.entity_tags import tag_of_secret
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.records.secrets import Secret, SecretUser
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.store import projects, secrets, webhooks
from headrace.manager.usecases.context import check_match, make_page, project_for, record_of
from headrace.manager.views.secrets import secret_detail, secret_view

KEPT: Final = 20
"""Newest versions of a secret that are kept though nothing uses them, for references to a version and roll-backs."""
MAX_VERSIONS: Final = 100
"""Versions of a secret, with those that living services use."""
_NAMED: Final = 10


class Secrets:
    """Use cases of secrets."""

    def __init__(self, pool: Pool, keys: SecretKeys, limits: ObjectLimits) -> None:
        self._pool = pool
        self._keys = keys
        self._limits = limits

    async def put(self, actor: Actor, reference: str, name: str, body: PutSecret) -> tuple[SecretView, bool]:
        """Store a secret, or a new version of it. Return it, and whether the secret is new.

        The value that it has already makes no version. Raises NotFound, Forbidden, InvalidRequest, Conflict.
        """
        async with transaction(self._pool) as con:
            project = await project_for(con, actor, reference, "owner")
            await projects.lock(con, project.id)  # one at a time, so that counts and versions hold
            found = await secrets.find(con, project.id, name)
            if found is None:
                if actor.if_match is not None:
                    raise NotFound(f"project {project.name} has no secret {name}, of which If-Match could hold")
                if not is_secret_name(name):
                    raise InvalidRequest.of("secret", name, SECRET_NAMES)
                there = await secrets.count(con, project.id)
                object_limits.check(f"project {project.name}", "secrets", there, self._limits.secrets_per_project)
                found = await secrets.insert(con, SecretId(new_uuid()), project.id, name, actor.user_id)
                await self._store(con, actor, found.id, 1, body.value)
                await _record(con, actor, "secret.created", project, None, found)
                return secret_view(found), True
            check_match(actor, f"secret {found.name}", tag_of_secret(found))
            if await self._has(con, found, body.value):
                return secret_view(found), False
            version = found.version + 1
            await self._make_room(con, found)
            await self._store(con, actor, found.id, version, body.value)
            after = await secrets.find(con, project.id, str(found.id))
            assert after is not None  # noqa: S101 - its project is locked
            await _record(con, actor, "secret.updated", project, found, after)
        return secret_view(after), False

    async def page(self, actor: Actor, reference: str, *, after: UUID, limit: int) -> Page[SecretView]:
        """Return the project's secrets without their values. Raises NotFound."""
        async with self._pool.acquire() as con:
            project = await project_for(con, actor, reference, "viewer")
            found = await secrets.page(con, project.id, after=after, limit=limit + 1)
        return make_page(found, limit, secret_view, lambda secret: secret.id)

    async def show(self, actor: Actor, reference: str, secret: str) -> SecretDetail:
        """Return one secret with its versions and who uses them. Raises NotFound."""
        async with self._pool.acquire() as con:
            project = await project_for(con, actor, reference, "viewer")
            found = await _secret(con, project, secret)
            return secret_detail(found, await secrets.versions(con, found.id), await secrets.users(con, found.id))

    async def delete(self, actor: Actor, reference: str, secret: str) -> None:
        """Delete a secret with all its versions. Raises NotFound, Forbidden, InUse with the services that use it."""
        async with transaction(self._pool) as con:
            project = await project_for(con, actor, reference, "owner")
            await projects.lock(con, project.id)
            found = await _secret(con, project, secret)
            check_match(actor, f"secret {found.name}", tag_of_secret(found))
            await secrets.lock_versions(con, found.id)
            users = await secrets.users(con, found.id)
            if users:
                raise InUse(
                    f"secret {found.name} is used by {_in_words(users)}; change or delete them first",
                    services=_services(users)[:_NAMED],
                )
            hooks = await webhooks.of_secret(con, found.id, most=_NAMED)
            if hooks:
                raise InUse(
                    f"secret {found.name} is used by webhook{'' if len(hooks) == 1 else 's'} {', '.join(hooks)}; change or delete "
                    "them first",
                    webhooks=hooks,
                )
            await secrets.delete(con, found.id)
            await _record(con, actor, "secret.deleted", project, found, None)

    async def _has(self, con: Connection, secret: Secret, value: str) -> bool:
        key = (secret.id, secret.version)
        sealed = (await secrets.sealed(con, [key]))[key]
        try:
            newest = self._keys.open(sealed, *key)
        except Unavailable:  # its key was lost: another version takes its place
            return False
        return hmac.compare_digest(newest.encode(), value.encode())

    async def _store(self, con: Connection, actor: Actor, secret_id: SecretId, version: int, value: str) -> None:
        sealed = self._keys.seal(value, secret_id, version)
        size = len(json.dumps(value, ensure_ascii=False).encode())
        await secrets.insert_version(con, secret_id, version, sealed, size, actor.user_id)

    async def _make_room(self, con: Connection, secret: Secret) -> None:
        """Delete old versions that nothing uses. Raises Conflict where too many are used."""
        await secrets.lock_versions(con, secret.id)
        used = {user.version for user in await secrets.users(con, secret.id)}
        there = [one.version for one in await secrets.versions(con, secret.id)]
        gone = [version for version in there[KEPT - 1 :] if version not in used]
        if len(there) - len(gone) >= MAX_VERSIONS:
            raise Conflict(
                f"secret {secret.name}: found {len(there)} versions, which services use; allowed: at most {MAX_VERSIONS}; "
                "roll the newest one out first (service update --refresh-secrets)"
            )
        await secrets.drop_versions(con, secret.id, gone)


async def _secret(con: Connection, project: Project, reference: str) -> Secret:
    found = await secrets.find(con, project.id, reference)
    if found is None:
        raise NotFound(f"project {project.name} has no secret {reference}")
    return found


def _services(users: Sequence[SecretUser]) -> list[str]:
    return list(dict.fromkeys(user.service for user in users if user.service is not None))


def _in_words(users: Sequence[SecretUser]) -> str:
    services, trials = _services(users), sum(user.service is None for user in users)
    named = ", ".join(services[:_NAMED])
    more = f" and {len(services) - _NAMED} more" if len(services) > _NAMED else ""
    words = [f"service{'' if len(services) == 1 else 's'} {named}{more}"] if services else []
    return " and ".join([*words, *([f"{trials} trial run{'' if trials == 1 else 's'}"] if trials else [])])


async def _record(
    con: Connection, actor: Actor, action: str, project: Project, before: Secret | None, after: Secret | None
) -> None:
    secret = after or before
    assert secret is not None  # noqa: S101 - it was there before, or is now
    was, now = (SecretState.of(one) if one else None for one in (before, after))
    scope, named = Scope(project.id), str(secret.id)
    await record_of(con, actor, action, scope, before=was, after=now, secret=secret.name, secret_id=named)
