"""Use cases of single replicas: weights."""

from __future__ import annotations

from headrace.common.contracts.http.replicas import ReplicaView
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.problems import Conflict, NotFound
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain.access import Actor
from headrace.manager.domain.lifecycle import states
from headrace.manager.store import events, services, traffic
from headrace.manager.usecases.context import as_id, service_for
from headrace.manager.usecases.ports import Pokes
from headrace.manager.views.replicas import replica_view


class Replicas:
    """Use cases of single replicas."""

    def __init__(self, pool: Pool, pokes: Pokes) -> None:
        self._pool = pool
        self._pokes = pokes

    async def weigh(self, actor: Actor, reference: str, replica: str, weight: int) -> ReplicaView:
        """Set a replica's weight; app-proxies apply it within a second. Its replacement gets the default weight.

        Raises NotFound, Forbidden; Conflict when it is leaving.
        """
        session_id = SessionId(as_id(replica, "replica"))
        async with transaction(self._pool) as con:
            service = (await service_for(con, actor, reference, "member")).service
            before = await traffic.put_weight(con, service.id, session_id, weight)
            found = await services.replica(con, session_id, service.id)
            if found is None or not states.live(found.status):
                raise NotFound(f"service {service.name} has no replica {replica}")
            if before is None:
                raise Conflict(f"replica {replica} is {found.status}: it takes no new requests")
            await events.record(
                con,
                actor,
                "replica.weighted",
                project_id=service.project_id,
                service_id=service.id,
                details={"replica": str(session_id), "from": before, "to": weight},
            )
        self._pokes.poke("routes")
        return replica_view(found)
