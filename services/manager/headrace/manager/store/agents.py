"""Queries: machines, for operators (read only; the inbox writes)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from headrace.common.contracts.ids import AgentId, FolderId, SnapshotId
from headrace.common.contracts.messages.reports import Gpu, KernelReport
from headrace.common.contracts.reasons import Reason
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.cordon import Cordon
from headrace.manager.domain.machine_labels import ANY_LABELS, LabelSelector
from headrace.manager.domain.machine_removal import Holdings
from headrace.manager.domain.records.agents import Agent, RemovedAgent

M = TypeVar("M", bound=BaseModel)
_MAX_SLOT_NAMES = 256
MAX_REMOVED = 10_000
"""Removed machines whose reports are refused: the newest ones. An older one that comes back is a new machine."""
_COLUMNS = frozenset(Agent.__dataclass_fields__) - {"gpus", "cordon"}
SQL = Queries.beside(__file__)


async def planned_folder(con: Connection, agent_id: AgentId, snapshot_id: SnapshotId) -> FolderId | None:
    """Return the folder of a snapshot that the machine's plan names; None when it names no such snapshot."""
    found: FolderId | None = await con.fetchval(SQL.planned_folder, agent_id, snapshot_id)
    return found


def _agent(row: Mapping[str, Any]) -> Agent:
    machine = row["machine"]
    given = {name: row[name] for name in _COLUMNS}
    addresses = None if row["addresses"] is None else tuple(row["addresses"])
    gpus, kernels = _readable(Gpu, machine.get("gpus")), _readable(KernelReport, row["kernels"])
    cordon = Cordon.read(row["cordoned_at"], row["cordoned_by"], row["cordon_reason"])
    return Agent(**{**given, "addresses": addresses, "gpus": gpus, "kernels": kernels, "cordon": cordon})


def _readable(model: type[M], told: object) -> tuple[M, ...]:
    """Parse what can be parsed of a report: an invalid entry is left out."""
    found = []
    for item in told if isinstance(told, list) else ():
        with suppress(ValidationError):
            found.append(model.model_validate(item))
    return tuple(found)


async def slot_names(con: Connection) -> list[str]:
    """Return the slot names of live machines, 256 at most."""
    return [row["name"] for row in await con.fetch(SQL.slot_names, _MAX_SLOT_NAMES)]


async def page(con: Connection, *, after: str, limit: int, labels: LabelSelector = ANY_LABELS) -> list[Agent]:
    """Return a page of the machines that the selector matches, by id."""
    return [
        _agent(row) for row in await con.fetch(SQL.page, after, None, limit, dict(labels.equal), list(labels.present))
    ]


async def one(con: Connection, agent_id: str) -> Agent | None:
    """Return one machine."""
    row = await con.fetchrow(SQL.page, "", agent_id, 1, {}, [])
    return _agent(row) if row else None


async def lock(con: Connection, agent_id: str) -> bool:
    """Lock a machine's row until the transaction ends. False when there is no such machine."""
    return await con.fetchval(SQL.lock, agent_id) is not None


async def cordon(con: Connection, agent_id: str, by: str, reason: str | None) -> bool | None:
    """Cordon a machine. `reason`: None keeps the one before. Return whether that changed anything; None when there is no such machine."""
    return _changed(await con.fetchrow(SQL.cordon, agent_id, by, reason))


async def uncordon(con: Connection, agent_id: str) -> bool | None:
    """End a machine's cordon. Return whether there was one; None when there is no such machine."""
    return _changed(await con.fetchrow(SQL.uncordon, agent_id))


def _changed(row: Mapping[str, Any] | None) -> bool | None:
    return None if row is None else bool(row["changed"])


async def move(con: Connection, agent_id: str, group: str) -> bool:
    """Put a machine that lock() holds into another resource group. False when there is no such group."""
    return await con.fetchval(SQL.move, agent_id, group) is not None


async def set_labels(con: Connection, agent_id: str, labels: Mapping[str, str]) -> None:
    """Store the labels that operators give a machine."""
    await con.execute(SQL.set_labels, agent_id, dict(labels))


async def holdings(con: Connection, agent_id: str) -> Holdings | None:
    """Return what runs on a machine or holds slots of it; None when there is no such machine."""
    row = await con.fetchrow(SQL.held, agent_id)
    if row is None:
        return None
    sessions = dict(row["sessions"])
    return Holdings(sessions, row["holding"], lost=row["lost_at"] is not None, silent_s=max(0.0, row["silent_s"]))


async def end_sessions(con: Connection, agent_id: str, reason: Reason) -> int:
    """End the sessions on a machine that is gone, and free what it held. Return how many sessions."""
    ended = await con.fetch(SQL.end_sessions, agent_id, reason.code, reason.text)
    await con.execute(SQL.free, agent_id)
    return len(ended)


async def remove(con: Connection, agent_id: str, by: str, reason: str) -> None:
    """Delete a machine's row, and refuse its reports from now on."""
    await con.execute(SQL.remove, agent_id, by, reason)
    await con.execute(SQL.forget_removed, MAX_REMOVED - 1)


async def removed(con: Connection, *, after: str, limit: int) -> list[RemovedAgent]:
    """Return a page of the machines whose reports are refused, by id."""
    return [RemovedAgent(**row) for row in await con.fetch(SQL.removed, after, limit)]


async def was_removed(con: Connection, agent_id: str) -> bool:
    """Return whether a machine of this id was removed and not admitted again."""
    return bool(await con.fetchval(SQL.was_removed, agent_id))


async def admit(con: Connection, agent_id: str) -> bool:
    """Accept reports of a removed machine again. False when it was not removed."""
    return await con.fetchval(SQL.admit, agent_id) is not None
