"""Use cases of rollouts: look, pause, resume, promote, abort. Each change one transaction with an event."""

from __future__ import annotations

from typing import Any

from headrace.common.contracts.http.rollouts import RolloutView
from headrace.common.contracts.problems import Conflict
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.rollout import RolloutReason
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import RolloutProgress
from headrace.manager.domain.lifecycle.rollout_gates import gates
from headrace.manager.domain.lifecycle.rollout_status import desired_of, standing
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.store import rollouts, services, sessions
from headrace.manager.usecases.context import locked_service, record_of, service_for
from headrace.manager.usecases.ports import Pokes
from headrace.manager.views.rollouts import rollout_view


class Rollouts:
    """Use cases of rollouts."""

    def __init__(self, pool: Pool, pokes: Pokes, clock: Clock) -> None:
        self._pool = pool
        self._pokes = pokes
        self._clock = clock

    async def show(self, actor: Actor, reference: str) -> RolloutView:
        """Return how the rollout of the current revision stands. Raises NotFound."""
        async with self._pool.acquire() as con:
            return await self._view(con, await service_for(con, actor, reference, "viewer"))

    async def pause(self, actor: Actor, reference: str, message: str) -> RolloutView:
        """Keep the present number of replicas of the current revision. Raises NotFound, Forbidden, Conflict."""
        async with transaction(self._pool) as con:
            facts = await self._hold(con, actor, reference, "pause")
            if desired_of(facts).gave_up:
                raise Conflict(f"the rollout of revision {facts.revision} has failed: retry or abort it")
            if facts.rollout.paused_replicas is None:
                await rollouts.pause(con, facts.service.id, facts.service.revision_id, actor.name)
                after = RolloutProgress(revision=facts.revision, paused=True)
                await _record(con, actor, "rollout.paused", facts, after, message)
            return await self._changed(con, actor, facts)

    async def resume(self, actor: Actor, reference: str) -> RolloutView:
        """Let a paused rollout go on; one that is not paused stays as it is. Raises NotFound, Forbidden, Conflict."""
        async with transaction(self._pool) as con:
            facts = await self._hold(con, actor, reference, "resume")
            if facts.rollout.paused_replicas is not None:
                await rollouts.resume(con, facts.service.id, facts.service.revision_id)
                after = RolloutProgress(revision=facts.revision, paused=False)
                await _record(con, actor, "rollout.resumed", facts, after)
            return await self._changed(con, actor, facts)

    async def promote(self, actor: Actor, reference: str, *, full: bool) -> RolloutView:
        """Open the gate before which the rollout stands, or all of them, also while it is paused.

        Raises NotFound, Forbidden; Conflict where none holds it, or where the new revision does not serve as it should yet.
        """
        async with transaction(self._pool) as con:
            facts = await self._hold(con, actor, reference, "promote")
            want = desired_of(facts)
            if want.gave_up:
                raise Conflict(f"the rollout of revision {facts.revision} has failed: retry or abort it")
            all_gates = gates(want.rollout)
            if facts.rollout.step >= all_gates:
                paused = "; it is paused: resume it" if facts.rollout.paused_replicas is not None else ""
                raise Conflict(f"no step holds the rollout of revision {facts.revision}{paused}")
            found = standing(facts, (await services.replicas(con, [facts.service.id]))[facts.service.id], self._clock())
            gate = want.gate
            if gate is not None and gate.idle and found.new.ready < want.replicas and found.old.ready:
                raise Conflict(
                    f"{found.new.ready} of {want.replicas} new replicas are ready, and all requests would go to them: "
                    "wait until all are, or change the strategy"
                )
            step = all_gates if full else facts.rollout.step + 1
            await rollouts.advance(con, facts.service.id, facts.service.revision_id, step)
            if facts.rollout.paused_replicas is not None:
                await rollouts.resume(con, facts.service.id, facts.service.revision_id)
            after = RolloutProgress(revision=facts.revision, step=step, paused=False)
            await _record(con, actor, "rollout.promoted", facts, after, step=step)
            return await self._changed(con, actor, facts)

    async def abort(self, actor: Actor, reference: str, message: str) -> RolloutView:
        """Make the revision that served the current one again; its replicas stay. Raises NotFound, Forbidden, Conflict."""
        async with transaction(self._pool) as con:
            facts = await self._hold(con, actor, reference, "abort")
            before = facts.service.served_revision_id
            assert before is not None  # noqa: S101 - a rollout is under way
            why = Reason.of(
                RolloutReason.ROLLOUT_ABORTED, f"{actor.name} aborted it{f': {message}' if message else ''}"
            )
            await rollouts.fail(con, facts.service.id, facts.service.revision_id, why)
            await sessions.roll_back(con, facts.service.id, before)
            after = RolloutProgress(revision=facts.served)
            await _record(con, actor, "rollout.aborted", facts, after, message, back_to=facts.served)
            return await self._changed(con, actor, facts)

    async def _hold(self, con: Connection, actor: Actor, reference: str, what: str) -> ServiceFacts:
        """Lock a service whose rollout is under way. Raises NotFound, Forbidden, Conflict."""
        facts = await locked_service(con, actor, reference, "member")
        name = facts.service.name
        if not facts.running:
            raise Conflict(f"service {name} is {facts.service.goal}: there is no rollout to {what}")
        if desired_of(facts).before is None:
            last = f"revision {facts.revision} is the only one" if facts.served else "no revision has served yet"
            raise Conflict(f"no rollout of service {name} is under way, so there is none to {what}: {last}")
        return facts

    async def _changed(self, con: Connection, actor: Actor, facts: ServiceFacts) -> RolloutView:
        self._pokes.poke("services", "routes", "rules")
        return await self._view(con, await service_for(con, actor, str(facts.service.id), "viewer"))

    async def _view(self, con: Connection, facts: ServiceFacts) -> RolloutView:
        live = await services.replicas(con, [facts.service.id])
        last_failed = await rollouts.last_failed(con, facts.service.id)
        return rollout_view(facts, standing(facts, live[facts.service.id], self._clock()), last_failed)


async def _record(
    con: Connection,
    actor: Actor,
    action: str,
    facts: ServiceFacts,
    after: RolloutProgress,
    message: str = "",
    **details: Any,
) -> None:
    """Record a change of the current revision's rollout; `after` has what changes of it."""
    was = RolloutProgress(
        revision=facts.revision,
        step=facts.rollout.step if after.step is not None else None,
        paused=facts.rollout.paused_replicas is not None if after.paused is not None else None,
    )
    named: dict[str, Any] = {"revision": facts.revision} | details
    await record_of(con, actor, action, facts.scope, before=was, after=after, message=message, **named)
