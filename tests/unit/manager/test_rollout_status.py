"""How a rollout is shown: phase, reason, replicas of both sides; and what the service's status says of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from headrace.common.contracts.reasons import Reason
from headrace.manager.domain.lifecycle.rollout_status import Side, Standing, standing
from headrace.manager.domain.lifecycle.status import Reachability, StatusOfService, status_of
from headrace.manager.domain.records.replicas import Replica
from headrace.manager.domain.records.rollouts import RolloutState
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec
from tests.unit.manager.replica_simulation import revision, session
from tests.unit.manager.test_status import NOW, service

CANARY = {"strategy": "canary", "steps": [{"replicas": 1, "pause_s": 60}, {"replicas": 2}]}
BY_HAND = {"strategy": "blue-green", "auto_promote": False}
LATE = Reason(code="rollout-deadline-exceeded", text="too late")
REACHED = Reachability("heard", {}, {})


def replica(number: int, *, of: int = 2, ready: bool = True, **facts: Any) -> Replica:
    plain = Replica(
        id=session(number),
        kind="inference",
        service_id=None,
        revision_id=revision(of),
        revision=of,
        status="running",
        health="healthy" if ready else "degraded",
        was_healthy=ready,
        reason_code="it-said",
        reason_text="what the machine says",
        created_at=NOW - timedelta(seconds=600),
        ended_at=None,
        kernel_id=None,
        agent_id="a",
        kernel_state="running",
        host=None,
        port=None,
        weight=100,
    )
    return replace(plain, **facts)


def rolls_out(
    wanted: int = 2, *, served: int | None = 1, state: RolloutState | None = None, **more: Any
) -> ServiceFacts:
    return ServiceFacts(
        service=service(wanted, revision_id=revision(2), served_revision_id=served and revision(served), **more),
        project="p",
        creator="u",
        revision=2,
        resolved=cast("ResolvedSpec", None),  # no status depends on it
        served=served,
        rollout=state or RolloutState(),
    )


def shown(facts: ServiceFacts, *have: Replica) -> Standing:
    return standing(facts, have, NOW)


def status(facts: ServiceFacts, *have: Replica) -> StatusOfService:
    return status_of(facts, have, REACHED, NOW)


OLD, NEW = replica(1, of=1), replica(2)


def test_both_sides_are_counted() -> None:
    found = shown(rolls_out(), OLD, replica(3, of=1, status="draining"), NEW, replica(4, ready=False))
    assert (found.phase, found.new, found.old) == ("progressing", Side(2, 1, 2), Side(1, 1, 0))
    assert found.reason.text == "revision 2 has 1 of 2 replicas, revision 1 serves the rest"
    assert status(rolls_out(), OLD, replica(4, ready=False)).reason.code == "it-said"


def test_a_revision_that_serves_alone_or_first_has_no_rollout() -> None:
    for facts in (rolls_out(served=2), rolls_out(served=None)):
        assert (shown(facts, NEW).phase, shown(facts, NEW).reason.code) == ("complete", "rollout-complete")


def test_the_deadline_is_told_while_something_waits() -> None:
    waits = replica(3, ready=False, status="pending", kernel_state=None)
    assert shown(rolls_out(), OLD, waits).deadline_at == NOW + timedelta(seconds=1200)
    assert shown(rolls_out(), OLD, NEW, replica(4)).deadline_at is None


@pytest.mark.parametrize(
    ("rollout", "state", "phase", "words"),
    [
        (CANARY, RolloutState(), "waiting", "step 1 of 2 is reached and lasts 60 s"),
        (
            BY_HAND,
            RolloutState(paused_replicas=1, paused_by="ann"),
            "paused",
            "paused by ann at 1 replica: resume or abort it",
        ),
        (
            {},
            RolloutState(failed=LATE),
            "failed",
            "too late; revision 1 goes on serving until you update, retry or abort",
        ),
    ],
)
def test_what_holds_a_rollout_is_the_services_reason_too(
    rollout: dict[str, Any], state: RolloutState, phase: str, words: str
) -> None:
    facts = rolls_out(state=state, rollout=rollout)
    found = shown(facts, OLD, NEW)
    assert found.phase == phase
    assert words in found.reason.text
    seen = status(facts, OLD, NEW)
    assert seen.phase == ("failed" if phase == "failed" else "deploying")
    assert words in seen.reason.text


def test_a_blue_green_rollout_that_waits_for_a_user_is_not_deployed() -> None:
    facts = rolls_out(rollout=BY_HAND)
    have = [OLD, replica(5, of=1), replica(2, idle=True), replica(3, idle=True)]
    found = shown(facts, *have)
    assert (found.phase, found.step, found.steps, found.old.wanted) == ("waiting", 0, 1, 2)
    assert found.reason.text.endswith("ready beside the old ones, without requests: promote or abort it")
    assert (status(facts, *have).phase, status(facts, *have).status) == ("deploying", "healthy")


def test_new_replicas_that_are_not_ready_for_long_enough_are_not_deployed() -> None:
    facts = rolls_out(1, rollout={"min_ready_s": 60})
    young = replica(2, healthy_at=NOW - timedelta(seconds=59))
    assert shown(facts, OLD, young).new.ready == 0
    assert status(facts, OLD, young).phase == "deploying"


def test_a_service_without_wanted_replicas_is_deployed_also_where_its_revision_has_never_served() -> None:
    facts = rolls_out(0)
    assert (status(facts).phase, status(facts).reason.code) == ("deployed", "scaled-to-zero")
    assert (shown(facts).phase, shown(facts).new, shown(facts).old) == ("progressing", Side(0, 0, 0), Side(0, 0, 0))
    assert "revision 2 is tried when one is, with revision 1 to go back to" in shown(facts).reason.text
    assert status(rolls_out(0, state=RolloutState(failed=LATE))).phase == "failed"


def test_five_failed_starts_are_told_once() -> None:
    facts = rolls_out(failed_starts=5)
    assert (shown(facts, OLD).phase, shown(facts, OLD).new.wanted, shown(facts, OLD).old.wanted) == ("failed", 0, 2)
    assert status(facts, OLD).reason.text.count("5 starts") == 1
