"""Queries: sessions and kernels, for the loops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from headrace.common.contracts.ids import (
    ImportId,
    KernelId,
    ProjectId,
    RevisionId,
    ServiceId,
    SessionId,
    UserId,
    new_uuid,
)
from headrace.common.contracts.messages.plans import SessionKind
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.slots import GPU_DEVICE, read_slots
from headrace.common.contracts.vocabulary import SessionStatus
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.cordon import Cordon
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.lifecycle.replica_state import Create, Retire
from headrace.manager.domain.placement.machines import KERNEL_BYTES, PLAN, PLAN_KIB, with_plan
from headrace.manager.domain.placement.scheduler import Machine, Placement, Request, Unplaced
from headrace.manager.domain.records.sessions import LiveSession, ObservedRevs, ReconciledService
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec
from headrace.manager.store import rollouts

SQL = Queries.beside(__file__)


async def create(
    con: Connection,
    *,
    session_id: SessionId,
    kind: SessionKind,
    project_id: ProjectId,
    service_id: ServiceId | None,
    revision_id: RevisionId | None,
    resolved: ResolvedSpec | None,
    resource_group: str,
    created_by: UserId | None,
) -> None:
    """Insert a pending session and its main kernel."""
    document = resolved.model_dump(mode="json") if resolved is not None else None
    await con.execute(
        SQL.insert, session_id, kind, project_id, service_id, revision_id, document, resource_group, created_by
    )
    await con.execute(SQL.insert_kernel, KernelId(new_uuid()), session_id)


async def create_many(con: Connection, new: Sequence[tuple[ReconciledService, Create]]) -> None:
    """Insert for each service and replica to create a pending session with its main kernel."""
    if not new:
        return
    services = [service for service, _ in new]
    await con.execute(
        SQL.insert_many,
        [new_uuid() for _ in new],
        [new_uuid() for _ in new],
        [service.id for service in services],
        [create.revision_id for _, create in new],
        [service.project_id for service in services],
        [service.resource_group for service in services],
        [service.created_by for service in services],
        [create.idle for _, create in new],
    )


async def stop(con: Connection, session_id: SessionId, reason: Reason) -> None:
    """Stop a session without a drain; one that was never placed ends at once. One that is leaving already is unchanged."""
    row = await con.fetchrow(SQL.lock_session, session_id)
    if row is not None and row["status"] in states.ACTIVE:
        status = states.exit_state(row["status"], served=False, lost=False)
        await con.fetchrow(SQL.leave, session_id, row["rev"], status, reason.code, reason.text, None)


async def lowest_unseen(con: Connection) -> int:
    """Return the change mark (transaction id) from which on this transaction's snapshot (repeatable read) may lack changes."""
    return int(await con.fetchval(SQL.lowest))


async def changed(con: Connection, since: int) -> dict[ServiceId, int]:
    """Return the services changed since this mark, also deleted ones, each with its newest mark."""
    return {row["service_id"]: row["mark"] for row in await con.fetch(SQL.changed, since)}


async def next_ids(con: Connection, after: ServiceId, limit: int) -> list[ServiceId]:
    """Return the next services in order of their ids."""
    return [row["id"] for row in await con.fetch(SQL.next_ids, after, limit)]


async def count_by_status(con: Connection) -> dict[SessionStatus, int]:
    """Return the number of live sessions by status."""
    return {row["status"]: row["sessions"] for row in await con.fetch(SQL.count_by_status, [*states.STATES])}


async def services(con: Connection, ids: Sequence[ServiceId]) -> list[ReconciledService]:
    """Return those of these services that exist."""
    return [_reconciled(row) for row in await con.fetch(SQL.services, ids)]


def _reconciled(row: Mapping[str, Any]) -> ReconciledService:
    own = {name: value for name, value in row.items() if not name.startswith(rollouts.PREFIX)}
    return ReconciledService(**own, state=rollouts.state_of(row))


async def live(con: Connection, service_ids: Sequence[ServiceId]) -> list[LiveSession]:
    """Return the live sessions of these services, in order of creation."""
    return [LiveSession(**row) for row in await con.fetch(SQL.live, service_ids)]


async def live_without_service(con: Connection, limit: int) -> list[LiveSession]:
    """Return live sessions without a service, in order of creation."""
    return [LiveSession(**row) for row in await con.fetch(SQL.live_without_service, limit)]


async def leave(con: Connection, action: Retire, rev: int) -> bool:
    """Move the session to its next state if it is still at `rev`. Return whether it was."""
    row = await con.fetchrow(
        SQL.leave, action.id, rev, action.status, action.reason.code, action.reason.text, action.deadline
    )
    return row is not None


async def unchanged(con: Connection, seen: Mapping[ServiceId, ObservedRevs]) -> set[ServiceId]:
    """Return those of these services that are unchanged since they were read, with their live sessions.

    All of them are locked until the transaction ends.
    """
    revs = {row["id"]: row["rev"] for row in await con.fetch(SQL.lock_services, list(seen))}
    live: dict[ServiceId, dict[SessionId, int]] = {service_id: {} for service_id in revs}
    for row in await con.fetch(SQL.lock_live, list(revs)):
        live[row["service_id"]][row["id"]] = row["rev"]
    return {service_id for service_id in revs if ObservedRevs(revs[service_id], live[service_id]) == seen[service_id]}


async def set_problem(con: Connection, service_id: ServiceId, problem: str | None) -> None:
    """Store why the services loop cannot handle the service; None: it can."""
    await con.execute(SQL.set_problem, service_id, problem)


async def mark_served(con: Connection, service_id: ServiceId, revision_id: RevisionId) -> None:
    """Store that this revision serves, and no other one."""
    await con.execute(SQL.served, service_id, revision_id)


async def roll_back(con: Connection, service_id: ServiceId, revision_id: RevisionId) -> tuple[int, int]:
    """Make an earlier revision the current one again. Return the number of the one that it replaces, and its own."""
    row = await con.fetchrow(SQL.roll_back, service_id, revision_id)
    assert row is not None  # noqa: S101 - both are locked, and revisions of living services are not deleted
    return row["from_revision"], row["revision"]


async def machines_without(
    con: Connection, waiting: SessionId, occupants: Iterable[SessionId]
) -> tuple[Request | None, dict[SessionId, Machine]]:
    """Return the waiting session, and for each occupant its machine as it would be without that session."""
    row = await con.fetchrow(SQL.request, waiting)
    if row is None:
        return None, {}
    return _request(row), {held["session_id"]: _machine(held) for held in await con.fetch(SQL.held_by, list(occupants))}


async def settle(con: Connection, *, look_at_all: bool) -> int:
    """End sessions that are over, release their slots, complete deletions. Return the number of affected rows.

    Slots of sessions that ended before are found only with `look_at_all`, which reads all allocations.
    """
    ended = await con.fetch(SQL.finish_stopped)
    freed = await con.fetch(SQL.free_allocations) if ended or look_at_all else []
    deleted = await con.fetch(SQL.finish_deletions)
    return len(ended) + len(freed) + len(deleted)


@dataclass(frozen=True)
class Pending:
    """Pending sessions, oldest first."""

    requests: list[Request]
    importing: dict[SessionId, ImportId]
    """Those that wait for the import of their model."""
    not_allowed: dict[SessionId, str]
    """Those whose project may not use their resource group, and the group."""
    facts: dict[SessionId, tuple[int, str]]
    """(rev, present reason) of each."""
    unreadable: dict[SessionId, Exception]
    """Errors of those that cannot be read."""


async def pending(con: Connection, limit: int) -> Pending:
    """Return pending sessions."""
    found = Pending([], {}, {}, {}, {})
    for row in await con.fetch(SQL.pending, limit):
        found.facts[row["id"]] = (row["rev"], row["reason_text"])
        try:
            if not row["group_allowed"]:
                found.not_allowed[row["id"]] = row["resource_group"]
            elif (import_id := _importing(row["resolved"])) is not None:
                found.importing[row["id"]] = import_id
            else:
                found.requests.append(_request(row))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the row costs the row
            found.unreadable[row["id"]] = error
    return found


def _importing(spec: Any) -> ImportId | None:
    """Return the import that has to end before the session can be placed."""
    if not isinstance(spec, dict) or not isinstance(spec.get("source"), dict):
        return None
    return None if spec["mounts"][0].get("snapshot_id") else ImportId(UUID(spec["source"]["import_id"]))


def _request(row: Any) -> Request:
    spec = row["resolved"]
    if not isinstance(spec, dict) or not isinstance(spec.get("slots"), dict):
        raise TypeError("it has no slots")
    architecture = spec.get("architecture")
    if not isinstance(architecture, str | None):
        raise TypeError("architecture is not a text")
    slots = with_plan(read_slots(spec["slots"]), row.get("bytes", 0))
    without_image, has_secrets = not spec.get("image"), any(pin["use"] != "model" for pin in spec.get("secrets") or ())
    return Request(
        row["id"], row["resource_group"], architecture, without_image, slots, row["created_at"], has_secrets=has_secrets
    )


async def machines(con: Connection) -> tuple[list[Machine], dict[str, Exception]]:
    """Return live machines with their free capacity (capacity less allocations); and the errors of those that cannot be read."""
    found, unreadable = [], dict[str, Exception]()
    for row in await con.fetch(SQL.machines, KERNEL_BYTES):
        try:
            found.append(_machine(row))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the row costs the row
            unreadable[row["id"]] = error
    return found, unreadable


def _machine(row: Any) -> Machine:
    total = read_slots({name: amount for name, amount in row["slots"].items() if not name.startswith("cuda.")})
    free, total = dict(total), {**total, PLAN: Decimal(PLAN_KIB)}
    free[PLAN] = Decimal(max(0, PLAN_KIB - -(-int(row.get("plan_bytes", 0)) // 1024)))
    gpus, whole = {gpu["gpu_id"]: Decimal(1) for gpu in row["machine"].get("gpus", [])}, set()
    leaving: dict[str, Decimal] = {}
    leaving_gpus: dict[str, Decimal] = {}
    for slot, device, amount, *ends in row["held"]:
        held = Decimal(amount)
        if not device:
            free[slot] = free.get(slot, Decimal(0)) - held
        elif device in gpus:
            gpus[device] -= held
            if slot == GPU_DEVICE:
                whole.add(device)
        if any(ends):
            there, name = (leaving_gpus, device) if device else (leaving, slot)
            there[name] = there.get(name, Decimal(0)) + held
    disks, runtime = [row["machine"].get(name) for name in ("disk", "engine_disk")], row["machine"]["runtime"]
    if not isinstance(runtime, str) or not all(isinstance(gpu, str) for gpu in gpus):
        raise TypeError("the runtime or a GPU's id is not a text")
    return Machine(
        row["id"],
        row["resource_group"],
        row["architecture"],
        runtime,
        free,
        total,
        gpus,
        whole,
        leaving,
        leaving_gpus,
        disk_low=any(disk is not None and disk["free_bytes"] < disk["reserve_bytes"] for disk in disks),
        address_refused=bool(row.get("address_refused", False)),
        plan_key=row.get("plan_key", "") is not None,
        cordon=Cordon.read(row["cordoned_at"], row["cordoned_by"], row["cordon_reason"]),
    )


async def place(con: Connection, batch: Iterable[tuple[Placement, int]]) -> int:
    """Bind sessions that are still at their rev to their machines, with slots. Return how many were.

    Raises IntegrityConstraintViolationError when one does not fit any more; the transaction is aborted then.
    """
    rows = [
        {
            "session_id": str(placement.id),
            "rev": rev,
            "agent_id": placement.machine_id,
            "held": [(slot, "", str(amount)) for slot, amount in placement.slots.items() if slot != PLAN]
            + [(grant.slot, grant.gpu_id, str(grant.amount)) for grant in placement.grants],
        }
        for placement, rev in batch
    ]
    return len(await con.fetch(SQL.place, rows))


async def set_wait_reasons(con: Connection, batch: Iterable[tuple[Unplaced, int]]) -> None:
    """Store why each of these sessions waits."""
    rows = [
        {"session_id": str(entry.id), "rev": rev, "code": entry.code, "text": entry.code.bounded(entry.text)}
        for entry, rev in batch
    ]
    await con.execute(SQL.set_wait_reasons, rows)
