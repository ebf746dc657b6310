"""Queries: services' traffic settings (JSON documents), their model names at the fleet's base URL, weights of replicas."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from headrace.common.contracts.ids import ProjectId, ServiceId, SessionId
from headrace.common.contracts.problems import InvalidRequest, NameTaken
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.services import Documents

SQL = Queries.beside(__file__)
NAMES = "fleet_names_pkey"
CORS = "services_cors"
_TAKEN = re.compile(r"\(project_id, name\)=\([^,]*, (.*)\)")


_DOCUMENTS = ("balance", "limits", "caller_limits", "rollout", "cors")
"""Settings in the order of the statements' arguments; the models come last."""


def arguments(given: Documents) -> list[Any]:
    """Return the settings as arguments of the insert."""
    return [*(getattr(given, name) for name in _DOCUMENTS), given.models and list(given.models)]


async def write(con: Connection, service_id: ServiceId, given: Documents) -> None:
    """Update the given settings. Raises NameTaken, InvalidRequest."""
    values: list[Any] = []
    for name in _DOCUMENTS:
        values += [name in given.reset, getattr(given, name)]
    models = None if given.models is None else list(given.models)
    try:
        await con.execute(SQL.write, service_id, *values, models)
    except asyncpg.UniqueViolationError as error:
        raise taken(error, given.models or ()) from None
    except asyncpg.CheckViolationError as error:
        if error.constraint_name != CORS:
            raise
        raise all_with_credentials() from None


def taken(error: asyncpg.UniqueViolationError, asked: Sequence[str]) -> NameTaken:
    """Return the problem of a model name that another service of the project has."""
    return model_taken(taken_name(error) or ", ".join(asked))


def model_taken(which: str) -> NameTaken:
    """Return the problem of a model name that leads to another service of the project."""
    return NameTaken(
        f"models: {which} leads to another service of the project already, by its name or as one of its models; names of models are "
        "unique in a project",
        field="models",
        found=which,
    )


def all_with_credentials() -> InvalidRequest:
    """Return the problem of CORS settings that exclude each other, whether given together or one after the other."""
    found, allowed = "true, with * as allow_origins", "false with *, or true with the origins that are meant"
    return InvalidRequest.of("cors.allow_credentials", found, allowed)


def taken_name(error: asyncpg.UniqueViolationError) -> str | None:
    """Return the name in the database's error; None when it has none."""
    found = _TAKEN.search(error.detail or "")
    return found[1] if found else None


async def names_taken(
    con: Connection, project_id: ProjectId, names: Sequence[str], *, beside: ServiceId | None = None
) -> list[str]:
    """Return those of the names that lead to another service of the project than `beside`."""
    return [row["name"] for row in await con.fetch(SQL.names_taken, project_id, list(names), beside)]


async def put_weight(con: Connection, service_id: ServiceId, session_id: SessionId, weight: int) -> int | None:
    """Set a replica's weight and return the previous one; None when it does not exist or is leaving."""
    before: int | None = await con.fetchval(SQL.put_weight, session_id, service_id, weight)
    return before


async def service_has(con: Connection, name: str) -> bool:
    """Return whether a live service of any project has this name."""
    found: bool = await con.fetchval(SQL.service_has, name)
    return found


def stored(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's settings as the route table takes them."""
    return {name: row[name] for name in ("balance", "limits", "caller_limits", "models", "cors")}
