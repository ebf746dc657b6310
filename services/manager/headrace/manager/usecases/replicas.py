"""Use cases of single replicas: show, weights, replacement."""

from __future__ import annotations

from typing import Any

from headrace.common.contracts.http.replicas import ReplicaView
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.problems import Conflict, NotFound
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import ReplicaState
from headrace.manager.domain.lifecycle import states
from headrace.manager.store import rollouts, services, traffic
from headrace.manager.usecases.context import as_id, locked_service, record_of, service_for
from headrace.manager.usecases.ports import Pokes
from headrace.manager.views.replicas import replica_view


class Replicas:
    """Use cases of single replicas."""

    def __init__(self, pool: Pool, pokes: Pokes) -> None:
        self._pool = pool
        self._pokes = pokes

    async def show(self, actor: Actor, reference: str, replica: str) -> ReplicaView:
        """Return a replica, live or ended. Raises NotFound, also for one that was forgotten."""
        session_id = SessionId(as_id(replica, "replica"))
        async with self._pool.acquire() as con:
            service = (await service_for(con, actor, reference, "viewer")).service
            found = await services.replica(con, session_id, service.id)
        if found is None:
            raise NotFound(f"service {service.name} has no replica {replica}")
        return replica_view(found)

    async def weigh(self, actor: Actor, reference: str, replica: str, weight: int) -> ReplicaView:
        """Set a replica's weight; app-proxies apply it within a second. Its replacement gets the default weight.

        Raises NotFound, Forbidden; Conflict when it is leaving.
        """
        session_id = SessionId(as_id(replica, "replica"))
        async with transaction(self._pool) as con:
            facts = await service_for(con, actor, reference, "member")
            service = facts.service
            before = await traffic.put_weight(con, service.id, session_id, weight)
            found = await services.replica(con, session_id, service.id)
            if found is None or not states.live(found.status):
                raise NotFound(f"service {service.name} has no replica {replica}")
            if before is None:
                raise Conflict(f"replica {replica} is {found.status}: it takes no new requests")
            was, now = ReplicaState(weight=before), ReplicaState(weight=weight)
            which: dict[str, Any] = {"replica": str(session_id), "from": before, "to": weight}
            await record_of(con, actor, "replica.weighted", facts.scope, before=was, after=now, **which)
        self._pokes.poke("routes")
        return replica_view(found)

    async def replace(self, actor: Actor, reference: str, replica: str, message: str) -> ReplicaView:
        """Ask for another replica in the place of this one, which drains once that serves; asked twice it is once.

        Raises NotFound, Forbidden; Conflict when it waits for a machine or is leaving, or its service does not run.
        """
        session_id = SessionId(as_id(replica, "replica"))
        async with transaction(self._pool) as con:
            facts = await locked_service(con, actor, reference, "member")
            service = facts.service
            found = await services.replica(con, session_id, service.id)
            if found is None or not states.live(found.status):
                raise NotFound(f"service {service.name} has no replica {replica}")
            if not facts.running:
                raise Conflict(f"service {service.name} is {service.goal}: all its replicas leave")
            if found.status == "pending":
                raise Conflict(f"replica {replica} waits for a machine: nothing runs that could be replaced")
            if states.leaving(found.status):
                raise Conflict(f"replica {replica} is {found.status}: it leaves already")
            if found.replace_asked_at is None:
                await rollouts.replace(con, service.id, session_id)
                await record_of(
                    con,
                    actor,
                    "replica.replace-asked",
                    facts.scope,
                    before=ReplicaState(replacing=False),
                    after=ReplicaState(replacing=True),
                    message=message,
                    replica=str(session_id),
                    revision=found.revision,
                )
            found = await services.replica(con, session_id, service.id) or found
        self._pokes.poke("services")
        return replica_view(found)
