"""Views of rollouts."""

from __future__ import annotations

from headrace.common.contracts import stored
from headrace.common.contracts.http.rollouts import FailedRollout, RolloutSide, RolloutView
from headrace.common.contracts.rollout import Rollout
from headrace.manager.domain.lifecycle.rollout_status import Side, Standing, under_way
from headrace.manager.domain.records import rollouts
from headrace.manager.domain.records.services import ServiceFacts


def rollout_view(facts: ServiceFacts, found: Standing, last_failed: rollouts.FailedRollout | None) -> RolloutView:
    """Return how the rollout of the service's current revision stands."""
    return RolloutView(
        revision=facts.revision,
        from_revision=facts.served if under_way(facts) else None,
        strategy=stored.read(Rollout, facts.service.rollout).strategy,
        phase=found.phase,
        reason=found.reason,
        began_at=facts.rollout.began_at,
        deadline_at=found.deadline_at,
        paused_by=facts.rollout.paused_by,
        step=found.step,
        steps=found.steps,
        new=_side(found.new),
        old=_side(found.old),
        last_failed=failed_view(last_failed),
    )


def failed_view(failed: rollouts.FailedRollout | None) -> FailedRollout | None:
    """Return a rollout that failed."""
    return None if failed is None else FailedRollout(revision=failed.revision, at=failed.at, reason=failed.reason)


def _side(side: Side) -> RolloutSide:
    return RolloutSide(replicas=side.replicas, ready=side.ready, wanted=side.wanted)
