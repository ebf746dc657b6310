"""Rollout strategy: surge and unavailability, ready time, deadline, gates; and that each rollout ends, or says why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.rollout import CanaryStep, Rollout, contradiction, merged, replicas_of
from headrace.manager.domain.lifecycle.replicas import (
    Action,
    Advance,
    Create,
    DesiredReplicas,
    Failed,
    FailRollout,
    Recovered,
    Retire,
    Reveal,
    RollBack,
    Served,
    decide,
    stuck,
)
from headrace.manager.domain.lifecycle.rollout import waiting_since
from headrace.manager.domain.records.rollouts import RolloutState
from tests.unit.manager.replica_simulation import (
    START,
    ReplicaSimulation,
    ill,
    loading,
    pending,
    revision,
    rollouts,
    seen,
    session,
)

NOW = START
BLUE_GREEN = Rollout(strategy="blue-green")
CANARY = Rollout(strategy="canary", steps=(CanaryStep(replicas=1, pause_s=60), CanaryStep(replicas="50%")))


def update(replicas: int, rollout: Rollout, **facts: Any) -> DesiredReplicas:
    """A service whose revision 2 takes the place of revision 1."""
    plain = DesiredReplicas(
        goal="running",
        replicas=replicas,
        revision_id=revision(2),
        drain_grace_s=30,
        served=revision(1),
        rollout=rollout,
        state=RolloutState(began_at=NOW - timedelta(hours=1), step_at=NOW - timedelta(hours=1)),
    )
    return replace(plain, **facts)


def created(actions: list[Action], of: int = 2) -> int:
    return sum(isinstance(a, Create) and a.revision_id == revision(of) for a in actions)


def left(actions: list[Action]) -> dict[int, str]:
    return {a.id.int - 10_000: a.reason.code for a in actions if isinstance(a, Retire)}


# Settings


@pytest.mark.parametrize(
    ("share", "wanted", "up", "expected"),
    [(3, 2, 1, 3), ("25%", 10, 1, 3), ("25%", 10, 0, 2), ("0%", 9, 1, 0), ("100%", 7, 0, 7)],
)
def test_a_share_is_a_number_or_a_percentage_of_the_wanted_replicas(
    share: int | str, wanted: int, up: int, expected: int
) -> None:
    assert replicas_of(share, wanted, up=bool(up)) == expected


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"strategy": "canary"}, "rollout.steps"),
        ({"max_surge": 0, "max_unavailable": "0%"}, "rollout.max_unavailable"),
        ({"min_ready_s": 60, "progress_deadline_s": 60}, "rollout.progress_deadline_s"),
    ],
)
def test_settings_that_exclude_each_other_are_found_also_when_given_one_after_the_other(
    given: dict[str, Any], field: str
) -> None:
    first, *rest = given.items()
    assert (wrong := contradiction(merged(dict([first]), dict(rest), reset=False))) is not None
    assert wrong[0] == field
    assert contradiction(merged(given, None, reset=True)) is None


@pytest.mark.parametrize("share", [-1, 10_001, True, 2.5, "150%", "5", "%", None])
def test_what_is_no_share_is_refused(share: object) -> None:
    with pytest.raises(ValueError, match="allowed: a whole number"):
        Rollout.model_validate({"max_surge": share})


@pytest.mark.parametrize("share", [0, "0%", "100%"])
def test_a_step_leaves_both_revisions_something(share: int | str) -> None:
    with pytest.raises(ValueError, match="from 1% to 99%"):
        CanaryStep(replicas=share)


# Surge, unavailability, ready time


def test_as_many_start_above_the_wanted_number_as_the_service_says() -> None:
    old = [seen(n) for n in range(4)]
    assert created(decide(update(4, Rollout(max_surge=3)), old, NOW)) == 3
    assert created(decide(update(4, Rollout(max_surge="50%")), old, NOW)) == 2


def test_without_surge_old_replicas_leave_before_their_successors_start() -> None:
    want = update(4, Rollout(max_surge=0, max_unavailable=2))
    old = [seen(n) for n in range(4)]
    assert left(decide(want, old, NOW)) == {0: "made-room-for-update", 1: "made-room-for-update"}
    fewer = old[2:]
    assert created(decide(want, fewer, NOW)) == 2
    assert decide(want, [*fewer, loading(8, of=2), loading(9, of=2)], NOW) == []
    assert left(decide(want, [*fewer, seen(8, of=2), loading(9, of=2)], NOW)) == {2: "made-room-for-update"}


def test_without_surge_the_place_of_a_failed_start_is_left_to_the_next_one() -> None:
    want = update(
        2, Rollout(max_surge=0), failed_starts=1, next_start_at=NOW + timedelta(seconds=1), last_failed_at=NOW
    )
    assert decide(want, [seen(1)], NOW) == []
    assert created(decide(want, [seen(1)], NOW + timedelta(seconds=1))) == 1


def test_an_old_replica_stays_until_the_new_one_was_healthy_for_long_enough() -> None:
    want = update(1, Rollout(min_ready_s=20))
    young = seen(2, of=2, healthy_at=NOW - timedelta(seconds=19))
    assert decide(want, [seen(1), young], NOW) == []
    assert left(decide(want, [seen(1), young], NOW + timedelta(seconds=1))) == {1: "replaced-by-update"}


def test_a_new_replica_that_ends_before_it_is_ready_is_a_failed_start() -> None:
    want = update(1, Rollout(min_ready_s=20))
    died = seen(2, of=2, kernel_state="exited", healthy_at=NOW - timedelta(seconds=19))
    assert [a.failed_starts for a in decide(want, [seen(1), died], NOW) if isinstance(a, Failed)] == [1]
    later = decide(want, [seen(1), died], NOW + timedelta(seconds=1))
    assert not any(isinstance(a, Failed) for a in later)


def test_a_start_that_was_placed_after_the_last_failure_counts_however_long_it_waited() -> None:
    want = update(1, Rollout(), failed_starts=1, last_failed_at=NOW - timedelta(seconds=5))
    waited = loading(2, of=2, age_s=500, placed_at=NOW - timedelta(seconds=2), kernel_state="failed")
    assert [a.failed_starts for a in decide(want, [seen(1), waited], NOW) if isinstance(a, Failed)] == [2]


def test_several_make_room_at_once_as_far_as_the_service_allows() -> None:
    want = update(4, Rollout(max_surge=3, max_unavailable=2))
    old = [seen(n, makes_room=True) for n in range(4)]
    waiting = [pending(n, of=2, age_s=60) for n in (7, 8, 9)]
    assert len(stuck(want, [*old, *waiting], NOW)) == 3
    assert set(left(decide(want, [*old, *waiting], NOW)).values()) == {"made-room-for-update"}
    assert len(left(decide(want, [*old, *waiting], NOW))) == 2


# Deadline


def test_a_rollout_fails_when_nothing_more_becomes_ready_in_time() -> None:
    waits = pending(2, of=2, age_s=1800)
    (back,) = decide(update(1, Rollout()), [seen(1), waits], NOW)
    assert isinstance(back, RollBack)
    assert back.revision_id == revision(1)
    assert back.reason.code == "rollout-deadline-exceeded"
    assert "1800 s; the last reason: what the machine says" in back.reason.text
    (failed,) = decide(update(1, Rollout(on_failure="keep")), [seen(1), waits], NOW)
    assert failed == FailRollout(back.reason)


def test_after_a_deadline_what_never_ran_is_withdrawn_and_what_serves_is_kept() -> None:
    why = Reason(code="rollout-deadline-exceeded", text="too late")
    want = update(2, Rollout(on_failure="keep"), state=RolloutState(failed=why, failed_at=NOW))
    assert left(decide(want, [seen(1), pending(2, of=2)], NOW)) == {2: "rollout-failed"}
    assert created(decide(want, [seen(1)], NOW), of=1) == 1
    assert created(decide(want, [seen(1)], NOW)) == 0
    before = seen(2, of=2, healthy_at=NOW - timedelta(seconds=1))
    assert Recovered() not in decide(want, [seen(1), before], NOW)
    late = seen(3, of=2, healthy_at=NOW)
    assert Recovered() in decide(want, [seen(1), before, late], NOW), "it started after all"


@pytest.mark.parametrize(
    "beside",
    [
        [loading(3, of=2)],
        [seen(3, status="draining", drain_deadline=NOW + timedelta(hours=1))],
        [seen(3, of=2, healthy_at=NOW - timedelta(seconds=1))],
    ],
    ids=["health checks judge what runs", "room is being made", "another one became ready lately"],
)
def test_the_deadline_counts_only_while_nothing_goes_on(beside: list[Any]) -> None:
    have = [seen(1), pending(2, of=2, age_s=9999)]
    assert waiting_since(update(2, Rollout()), have) == NOW - timedelta(hours=1)
    assert not any(isinstance(a, RollBack) for a in decide(update(2, Rollout()), [*have, *beside], NOW))


def test_nothing_counts_against_a_first_revision_a_paused_rollout_or_one_with_nothing_left_to_start() -> None:
    waits = pending(2, of=2, age_s=9999)
    assert decide(update(1, Rollout(), served=None), [waits], NOW) == []
    paused = update(1, Rollout(), state=RolloutState(paused_replicas=1))
    assert not any(isinstance(a, RollBack) for a in decide(paused, [seen(1), waits], NOW))
    assert waiting_since(update(1, Rollout()), [seen(1), seen(2, of=2), waits]) is None


# Gates


def test_a_canary_keeps_each_step_and_the_old_revision_at_the_rest() -> None:
    want = update(4, CANARY)
    old = [seen(n) for n in range(4)]
    assert created(decide(want, old, NOW)) == 1
    canary = seen(9, of=2, healthy_at=NOW)
    assert left(decide(want, [*old, canary], NOW)) == {0: "replaced-by-update"}
    there = [*old[1:], canary]
    assert decide(want, there, NOW) == []
    assert decide(want, there, NOW + timedelta(seconds=60)) == [Advance(1)]
    half = replace(want, state=RolloutState(step=1, step_at=NOW))
    assert created(decide(half, there, NOW)) == 1
    both = [*old[2:], canary, seen(8, of=2)]
    assert decide(half, both, NOW + timedelta(days=9)) == [], "it waits to be promoted"
    assert created(decide(replace(half, state=RolloutState(step=2)), both, NOW)) == 1


def test_of_a_canary_dead_replicas_of_both_revisions_are_replaced_by_their_own() -> None:
    want = update(4, CANARY, state=RolloutState(step=1, step_at=NOW))
    both = [seen(1), seen(2, kernel_state="exited"), seen(3, of=2), seen(4, of=2)]
    assert (created(decide(want, both, NOW), of=1), created(decide(want, both, NOW))) == (1, 0)
    both = [seen(1), seen(2), seen(3, of=2), seen(4, of=2, kernel_state="exited")]
    assert (created(decide(want, both, NOW), of=1), created(decide(want, both, NOW))) == (0, 1)


def test_the_canary_of_a_single_replica_serves_beside_it() -> None:
    want = update(1, CANARY)
    assert created(decide(want, [seen(1)], NOW)) == 1
    assert decide(want, [seen(1), seen(2, of=2, healthy_at=NOW)], NOW) == []
    promoted = replace(want, state=RolloutState(step=2))
    assert left(decide(promoted, [seen(1), seen(2, of=2)], NOW)) == {1: "replaced-by-update"}


def test_a_service_that_is_scaled_in_meanwhile_goes_on_with_its_rollout() -> None:
    old = [seen(1, age_s=500), seen(2)]
    assert left(decide(update(1, CANARY), old, NOW)) == {2: "scaled-in"}
    assert created(decide(update(1, CANARY), old[:1], NOW)) == 1
    assert left(decide(update(1, BLUE_GREEN), old, NOW)) == {2: "scaled-in"}


def test_blue_green_starts_all_without_requests_and_switches_at_once() -> None:
    want = update(2, BLUE_GREEN)
    old = [seen(1), seen(2)]
    assert decide(want, old, NOW) == [Create(revision(2), idle=True)] * 2
    new = [seen(n, of=2, idle=True) for n in (3, 4)]
    assert decide(want, [*old, new[0], loading(4, of=2, idle=True)], NOW) == []
    assert decide(want, [*old, *new], NOW) == [Advance(1)]
    switched = replace(want, state=RolloutState(step=1))
    actions = decide(switched, [*old, *new], NOW)
    assert Reveal((session(3), session(4))) in actions
    assert left(actions) == {1: "replaced-by-update", 2: "replaced-by-update"}
    by_hand = update(2, Rollout(strategy="blue-green", auto_promote=False))
    assert decide(by_hand, [*old, *new], NOW + timedelta(days=9)) == []


def test_when_no_old_replica_serves_callers_are_answered_by_new_ones_before_the_switch() -> None:
    want = update(1, Rollout(strategy="blue-green", auto_promote=False))
    assert Reveal((session(2),)) in decide(want, [ill(1), seen(2, of=2, idle=True)], NOW)
    assert Reveal((session(2),)) not in decide(want, [ill(1), loading(2, of=2, idle=True)], NOW)


def test_a_strategy_that_changes_in_between_leaves_none_without_requests() -> None:
    assert Reveal((session(2),)) in decide(update(1, Rollout()), [seen(1), seen(2, of=2, idle=True)], NOW)


def test_a_paused_rollout_keeps_the_replicas_that_it_has_and_replaces_dead_ones() -> None:
    want = update(4, Rollout(), state=RolloutState(paused_replicas=1))
    have = [seen(1), seen(2), seen(3), seen(4, of=2)]
    assert decide(want, have, NOW) == []
    assert created(decide(want, have[1:], NOW), of=1) == 1
    assert created(decide(want, have[:3], NOW)) == 1
    fewer = decide(replace(want, replicas=2), have, NOW)
    assert set(left(fewer).values()) == {"replaced-by-update"}
    nothing_yet = update(2, Rollout(), state=RolloutState(paused_replicas=0))
    assert decide(nothing_yet, [seen(1), seen(2)], NOW) == []


def test_a_paused_blue_green_rollout_does_not_switch() -> None:
    want = update(1, BLUE_GREEN, state=RolloutState(paused_replicas=1))
    assert decide(want, [seen(1), seen(2, of=2, idle=True)], NOW + timedelta(days=1)) == []


def test_a_revision_is_not_the_one_that_served_while_a_gate_holds_it() -> None:
    want = update(2, CANARY)
    assert Served(revision(2)) not in decide(want, [seen(1, of=2), ill(2)], NOW)


def test_a_replica_that_a_user_wants_replaced_leaves_once_another_serves() -> None:
    want = update(1, Rollout(), served=revision(2))
    here = seen(1, of=2, moving=True, asked=True)
    assert created(decide(want, [here], NOW)) == 1
    assert left(decide(want, [here, seen(2, of=2)], NOW)) == {1: "replaced-by-user"}
    waits = pending(2, of=2, age_s=60)
    assert left(decide(want, [replace(here, makes_room=True), waits], NOW)) == {1: "made-room-for-update"}
    assert left(decide(want, [here, waits], NOW)) == {}


# Whole rollouts


@settings(deadline=None)
@example(  # two of three find room at once, and each fails at a moment of its own
    rollout=Rollout(max_surge="100%", max_unavailable=0, progress_deadline_s=60, on_failure="keep"),
    replicas=3,
    more=0,
    spare=2,
    starts=0,
)
@given(
    rollout=rollouts(),
    replicas=st.integers(1, 6),
    more=st.sampled_from([0, 0, 1, 3]),
    spare=st.integers(0, 6),
    starts=st.sampled_from([0, 1]),
)
def test_every_rollout_keeps_its_bounds_and_ends_or_says_what_it_waits_for(
    rollout: Rollout, replicas: int, more: int, spare: int, starts: int
) -> None:
    """Never more than wanted and surge, never fewer that serve than wanted less the unavailable, and never stuck in silence."""
    old = [seen(n, makes_room=True) for n in range(replicas + more)]  # it is scaled in at the same time
    world = ReplicaSimulation.of(update(replicas, rollout), old, room=replicas + more + spare)
    there_before = old
    for _ in range(400):
        want = world.want
        actions = world.one_pass()
        assert world.serving >= replicas - want.max_unavailable
        there = [r for r in world.have if r.status in {"pending", "placed", "running"}]
        assert len(there) <= max(len(there_before), replicas + max(1, want.surge))
        there_before = there
        if world.settled():
            assert starts or world.want.revision_id == revision(1)
            return
        if not actions and says_why(world):
            return
        for replica in world.have:
            if not starts and replica.revision_id == revision(2) and replica.status == "running":
                world.change(replica.id, kernel_state="failed")
            else:
                world.progress(replica.id)
        world.now += timedelta(seconds=5 if world.now < START + timedelta(seconds=600) else 60)
    pytest.fail(f"stuck: {world.want} {world.have}")


def says_why(world: ReplicaSimulation) -> bool:
    """Whether it is left to a user: to promote it, or to do something about a revision that failed."""
    want = world.want
    if want.gave_up:
        return world.serving >= want.replicas
    ready = sum(r.available and r.revision_id == want.revision_id for r in world.have)
    return want.gate is not None and want.gate.pause_s is None and ready >= want.gate.new
