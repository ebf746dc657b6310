"""Queries: secrets of projects. Values are here encrypted only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from headrace.common.contracts.ids import ImportId, ProjectId, SecretId, UserId
from headrace.common.contracts.secret import PinnedSecret
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.secrets import KnownSecret, Secret, SecretUser, SecretVersion
from headrace.manager.secret_keys import SealedSecret
from headrace.manager.store import rows

SQL = Queries.beside(__file__)
VersionKey: TypeAlias = tuple[SecretId, int]
"""Secret and version."""


async def insert(con: Connection, secret_id: SecretId, project_id: ProjectId, name: str, user_id: UserId) -> Secret:
    """Insert a secret whose first version follows; the project is locked."""
    row = await con.fetchrow(SQL.insert, secret_id, project_id, name, user_id)
    assert row is not None  # noqa: S101 - inserted
    return Secret(**row)


async def insert_version(
    con: Connection, secret_id: SecretId, version: int, sealed: SealedSecret, json_bytes: int, user_id: UserId
) -> None:
    """Insert a version, and make it the newest. `json_bytes`: size of the value as JSON text."""
    await con.execute(
        SQL.insert_version, secret_id, version, sealed.value, sealed.data_key, sealed.key_id, json_bytes, user_id
    )
    await con.execute(SQL.set_newest, secret_id, version)


async def count(con: Connection, project_id: ProjectId) -> int:
    """Return the number of the project's secrets."""
    return int(await con.fetchval(SQL.count, project_id))


async def find(con: Connection, project_id: ProjectId, reference: str) -> Secret | None:
    """Return the project's secret with this name or id."""
    row = await con.fetchrow(SQL.find, project_id, rows.as_uuid(reference), reference)
    return Secret(**row) if row else None


async def page(con: Connection, project_id: ProjectId, *, after: UUID, limit: int) -> list[Secret]:
    """Return a page of the project's secrets."""
    return [Secret(**row) for row in await con.fetch(SQL.page, project_id, after, limit)]


async def versions(con: Connection, secret_id: SecretId) -> list[SecretVersion]:
    """Return the versions that are kept, newest first."""
    return [SecretVersion(**row) for row in await con.fetch(SQL.versions, secret_id)]


async def known(con: Connection, project_id: ProjectId, names: Collection[str]) -> dict[str, KnownSecret]:
    """Return those of the named secrets that the project has."""
    found = await con.fetch(SQL.known, project_id, list(names)) if names else ()
    return {row["name"]: _known(row) for row in found}


async def names(con: Connection, project_id: ProjectId, *, most: int) -> list[str]:
    """Return the first names of the project's secrets."""
    return [row["name"] for row in await con.fetch(SQL.names, project_id, most)]


def _known(row: Mapping[str, Any]) -> KnownSecret:
    sizes = {int(version): size for version, size in (row["sizes"] or {}).items()}
    return KnownSecret(row["id"], row["name"], row["newest"], sizes)


async def hold(con: Connection, pins: Iterable[PinnedSecret]) -> set[VersionKey]:
    """Lock these versions until the transaction ends; return those that are there."""
    wanted = sorted({(pin.secret_id, pin.version) for pin in pins})
    if not wanted:
        return set()
    found = await con.fetch(SQL.hold, *_columns(wanted))
    return {(row["secret_id"], row["version"]) for row in found}


async def lock_versions(con: Connection, secret_id: SecretId) -> None:
    """Lock all versions until the transaction ends, so that no revision is made with one of them meanwhile."""
    await con.fetch(SQL.lock_versions, secret_id)


async def users(con: Connection, secret_id: SecretId) -> list[SecretUser]:
    """Return which living services and trial runs use the secret, by name."""
    return [SecretUser(**row) for row in await con.fetch(SQL.users, secret_id)]


async def drop_versions(con: Connection, secret_id: SecretId, gone: Collection[int]) -> None:
    """Delete versions."""
    if gone:
        await con.execute(SQL.drop_versions, secret_id, list(gone))


async def delete(con: Connection, secret_id: SecretId) -> None:
    """Delete a secret with its versions."""
    await con.execute(SQL.delete, secret_id)


async def delete_all(con: Connection, project_id: ProjectId) -> None:
    """Delete the secrets of a project."""
    await con.execute(SQL.delete_all, project_id)


async def sealed(con: Connection, wanted: Collection[VersionKey]) -> dict[VersionKey, SealedSecret]:
    """Return those of these versions that are there, encrypted."""
    if not wanted:
        return {}
    return {_key(row): _sealed(row) for row in await con.fetch(SQL.sealed, *_columns(sorted(wanted)))}


async def of_import(con: Connection, import_id: ImportId) -> VersionKey | None:
    """Return the secret with which a model is to be fetched; None without one."""
    row = await con.fetchrow(SQL.of_import, import_id)
    return _key(row) if row else None


async def wrapped_by(con: Connection, key_ids: Sequence[str], limit: int) -> dict[VersionKey, SealedSecret]:
    """Return and lock versions whose data key one of these keys encrypts."""
    return {_key(row): _sealed(row) for row in await con.fetch(SQL.wrapped_by, list(key_ids), limit)}


async def rewrap(con: Connection, changed: Mapping[VersionKey, SealedSecret], key_id: str) -> None:
    """Store the data keys, which the key of this id encrypts now."""
    ids, numbers = _columns(list(changed))
    await con.execute(SQL.rewrap, ids, numbers, [one.data_key for one in changed.values()], key_id)


def _columns(wanted: Sequence[VersionKey]) -> tuple[list[SecretId], list[int]]:
    return [secret_id for secret_id, _ in wanted], [version for _, version in wanted]


def _key(row: Mapping[str, Any]) -> VersionKey:
    return row["secret_id"], row["version"]


def _sealed(row: Mapping[str, Any]) -> SealedSecret:
    return SealedSecret(row["value"], row["data_key"], row["key_id"])
