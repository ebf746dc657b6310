"""What is done about replicas: an example for each rule, and properties of any world."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.rollout import Rollout
from headrace.manager.domain.lifecycle.replica_failures import RAN_WELL, is_end
from headrace.manager.domain.lifecycle.replica_state import MAX_FAILED_STARTS
from headrace.manager.domain.lifecycle.replicas import (
    CUT_FIRST,
    GIVE_WAY_AFTER,
    MAX_BACKOFF_S,
    STUCK_AFTER,
    Action,
    Create,
    DesiredReplicas,
    Ended,
    Failed,
    FailRollout,
    ObservedReplica,
    Recovered,
    Retire,
    RollBack,
    Served,
    decide,
)
from headrace.manager.domain.lifecycle.states import ACTIVE
from headrace.manager.domain.records.rollouts import RolloutState
from headrace.manager.domain.records.services import Goal
from tests.unit.manager.replica_simulation import (
    START,
    WHY,
    ReplicaSimulation,
    ill,
    loading,
    pending,
    revision,
    rollouts,
    seen,
    session,
    starting,
)

NOW = START
GAVE_UP = Reason(code="rollout-starts-failed", text="5 starts of it in a row failed")
KEEP = Rollout(on_failure="keep")
BACK = Rollout(on_failure="roll-back")
ONE = DesiredReplicas(
    goal="running", replicas=1, revision_id=revision(1), drain_grace_s=30, served=revision(1), rollout=KEEP
)


def want(replicas: int = 1, **facts: object) -> DesiredReplicas:
    return replace(ONE, replicas=replicas, **facts)  # type: ignore[arg-type]  # test facts


def left(actions: list[Action]) -> dict[int, tuple[str, str]]:
    """Which sessions leave, how and why."""
    return {a.id.int - 10_000: (a.status, a.reason.code) for a in actions if isinstance(a, Retire)}


def created(actions: list[Action]) -> int:
    return sum(isinstance(a, Create) for a in actions)


# Numbers


def test_what_is_missing_is_started() -> None:
    assert decide(want(3), [], NOW) == [Create(revision(1))] * 3
    assert created(decide(want(3), [seen(1), pending(2)], NOW)) == 1


def test_nothing_is_done_once_all_is_as_wanted() -> None:
    assert decide(want(2), [seen(1), seen(2)], NOW) == []
    assert decide(want(0), [], NOW) == []


def test_the_worst_go_first() -> None:
    have = [seen(1, age_s=50), seen(2, age_s=90), loading(3), pending(4), ill(5)]
    assert left(decide(want(3), have, NOW)) == {4: ("ended", "scaled-in")}
    assert left(decide(want(2), have, NOW)) == {
        3: ("stopping", "scaled-in"),
        4: ("ended", "scaled-in"),
        5: ("draining", "unhealthy-replaced"),
    }
    assert left(decide(want(1), have, NOW))[1] == ("draining", "scaled-in")  # the younger of the two that serve


def test_a_serving_replica_is_never_dropped_for_one_that_does_not_serve() -> None:
    waking = seen(1, health="degraded", age_s=500)  # its agent came back a moment ago
    unknown = seen(3, kernel_state=None, age_s=600)
    assert left(decide(want(1), [waking, unknown, seen(2, age_s=5)], NOW)).keys() == {1, 3}


def test_what_drains_has_until_its_deadline_and_leaves_when_it_is_let_go() -> None:
    (drain,) = decide(want(0), [seen(1)], NOW)
    assert isinstance(drain, Retire)
    assert drain.deadline == NOW + timedelta(seconds=30)
    draining = seen(1, status="draining", drain_deadline=drain.deadline)
    assert decide(want(0), [draining], NOW) == []
    assert left(decide(want(0), [replace(draining, released=True)], NOW)) == {1: ("stopping", "drained")}
    assert decide(want(0), [draining], NOW + timedelta(seconds=30)) == []  # app-proxies cut now, and say so
    late = NOW + timedelta(seconds=30) + CUT_FIRST
    assert left(decide(want(0), [draining], late)) == {1: ("stopping", "drain-grace-over")}


def test_a_draining_replica_does_not_count() -> None:
    assert decide(want(1), [seen(1, status="draining", drain_deadline=NOW + timedelta(hours=1))], NOW) == [
        Create(revision(1))
    ]


@pytest.mark.parametrize("goal", ["stopped", "deleting"])
def test_a_service_that_is_not_to_run_lets_go_of_everything_and_starts_nothing(goal: Goal) -> None:
    have = [seen(1), loading(2), pending(3), ill(4), loading(5, kernel_state="failed"), seen(6, lost=True)]
    actions = decide(want(9, goal=goal), have, NOW)
    assert left(actions) == {
        1: ("draining", f"service-{goal}"),
        2: ("stopping", f"service-{goal}"),
        3: ("ended", f"service-{goal}"),
        4: ("draining", f"service-{goal}"),
        5: ("stopping", "it-said"),
        6: ("ended", "agent-lost"),
    }
    assert not any(isinstance(a, Create | Failed) for a in actions)


# Machines that are drained


def test_a_replica_whose_machine_is_drained_is_replaced_before_it_leaves() -> None:
    here = seen(1, moving=True)
    assert decide(want(1), [here], NOW) == [Create(revision(1))]
    assert decide(want(1), [here, pending(2)], NOW) == []
    assert decide(want(1), [here, loading(2)], NOW) == []
    assert left(decide(want(1), [here, seen(2)], NOW)) == {1: ("draining", "agent-drained")}


def test_of_many_on_the_machine_a_quarter_moves_at_once() -> None:
    here = [seen(number, moving=True) for number in range(1, 9)]
    assert created(decide(want(8), here, NOW)) == 2
    there = [seen(number) for number in (11, 12)]
    actions = decide(want(8), [*here, *there], NOW)
    assert created(actions) == 0
    assert [code for _, code in left(actions).values()] == ["agent-drained"] * 2


def test_one_that_starts_on_the_machine_leaves_once_its_replacement_has_another() -> None:
    here = loading(1, moving=True)
    assert decide(want(1), [here], NOW) == [Create(revision(1))]
    assert decide(want(1), [here, pending(2)], NOW) == []
    assert left(decide(want(1), [here, loading(2)], NOW)) == {1: ("stopping", "agent-drained")}


def test_a_drain_and_fewer_replicas_start_nothing_and_take_none_that_stays() -> None:
    have = [seen(1, moving=True), seen(2), seen(3)]
    assert left(decide(want(2), have, NOW)) == {1: ("draining", "agent-drained")}
    assert created(decide(want(2), have, NOW)) == 0
    assert left(decide(want(1), have, NOW)).keys() == {1, 2}


def test_a_rollout_meanwhile_takes_the_moving_ones_first() -> None:
    old = [seen(1, revision_id=revision(0), age_s=500, moving=True), seen(2, revision_id=revision(0))]
    assert left(decide(want(2), [*old, seen(3)], NOW)) == {1: ("draining", "replaced-by-update")}


def test_while_an_update_fails_the_revision_that_serves_is_moved_too() -> None:
    failing = want(1, revision_id=revision(2), served=revision(1), failed_starts=MAX_FAILED_STARTS)
    here = seen(1, moving=True)
    assert decide(failing, [here], NOW) == [Create(revision(1))]
    assert decide(failing, [here, pending(2)], NOW) == []
    assert left(decide(failing, [here, seen(2)], NOW)).keys() == {1}
    starts_here = loading(1, moving=True)
    assert left(decide(failing, [starts_here], NOW)).keys() == {1}


def test_an_ill_one_on_the_machine_is_kept_while_it_could_fill_a_gap() -> None:
    assert left(decide(want(1), [ill(1, moving=True), loading(2)], NOW)) == {}
    assert left(decide(want(1), [ill(1, moving=True), seen(2)], NOW)) == {1: ("draining", "unhealthy-replaced")}


# The dead and the lost


@pytest.mark.parametrize("status", ["placed", "running", "draining"])
@pytest.mark.parametrize("state", ["exited", "failed"])
def test_a_container_that_ended_is_not_waited_for_in_any_state(status: str, state: str) -> None:
    dead = seen(1, status=status, kernel_state=state, drain_deadline=NOW + timedelta(hours=1))
    first, ended, *rest = decide(want(1), [dead], NOW)
    assert first == Retire(session(1), "stopping", WHY)
    assert isinstance(ended, Ended)
    assert rest == [Create(revision(1))]


@pytest.mark.parametrize("status", ["placed", "running", "draining", "stopping"])
def test_a_replica_on_a_lost_machine_ends_at_once_and_is_replaced_but_no_start_failed(status: str) -> None:
    actions = decide(want(1), [loading(1, status=status, lost=True)], NOW)
    assert left(actions) == {1: ("ended", "agent-lost")}
    assert actions[1:] == [Create(revision(1))]


def test_a_replica_that_served_when_its_machine_fell_silent_stays_until_another_serves() -> None:
    silent = seen(1, lost=True)
    assert decide(want(1), [silent], NOW) == [Create(revision(1))]
    assert decide(want(1), [silent, loading(2)], NOW) == []
    assert left(decide(want(1), [silent, seen(2)], NOW)) == {1: ("ended", "agent-lost")}


def test_a_replica_whose_machine_is_heard_of_again_goes_on_and_its_replacement_leaves() -> None:
    assert left(decide(want(1), [seen(1), pending(2)], NOW)) == {2: ("ended", "scaled-in")}


@pytest.mark.parametrize("goal", ["stopped", "deleting"])
def test_nobody_waits_for_a_silent_machine(goal: Goal) -> None:
    assert left(decide(replace(want(1), goal=goal), [seen(1, lost=True)], NOW)) == {1: ("ended", "agent-lost")}


def test_what_stops_is_waited_for() -> None:
    assert decide(want(0), [seen(1, status="stopping", kernel_state="exited")], NOW) == []


def test_what_exits_while_it_stops_did_not_end_in_operation() -> None:
    assert not is_end(want(1), seen(1, status="stopping", kernel_state="exited"), NOW)
    assert is_end(want(1), seen(1, kernel_state="exited"), NOW)


# Failed starts


@pytest.mark.parametrize("how", [{"kernel_state": "failed"}, {"kernel_state": "exited"}, {"health": "unhealthy"}])
def test_a_failed_start_is_recorded_with_its_reason_and_the_next_one_waits(how: dict[str, object]) -> None:
    actions = decide(want(1), [loading(1, **how)], NOW)
    assert actions == [
        Retire(session(1), "stopping", WHY),
        Failed(session(1), WHY, 1, NOW + timedelta(seconds=1), fresh=True),
    ]
    waiting = want(1, failed_starts=1, next_start_at=NOW + timedelta(seconds=1), last_failed_at=NOW)
    assert decide(waiting, [], NOW) == []
    assert decide(waiting, [], NOW + timedelta(seconds=1)) == [Create(revision(1))]


def test_the_wait_doubles_up_to_a_minute() -> None:
    waits = []
    for before in range(8):
        failed = decide(want(1, failed_starts=before), [loading(1, kernel_state="failed")], NOW)[1]
        assert isinstance(failed, Failed)
        waits.append((failed.next_start_at - NOW).total_seconds())
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_replicas_that_fail_in_one_round_count_once_and_keep_their_errors() -> None:
    actions = decide(want(3000), [loading(n, kernel_state="failed") for n in range(3000)], NOW)
    failures = [action for action in actions if isinstance(action, Failed)]
    assert {action.failed_starts for action in failures} == {1}
    assert len({action.id for action in failures}) == 3000


def test_a_straggler_of_the_last_round_is_not_another_failure() -> None:
    before = replace(want(2), failed_starts=1, last_failed_at=NOW - timedelta(seconds=1))
    straggler = loading(1, age_s=5, kernel_state="failed")
    assert [a.failed_starts for a in decide(before, [straggler], NOW) if isinstance(a, Failed)] == [1]
    retried = loading(2, age_s=0.5, kernel_state="failed")
    assert [a.failed_starts for a in decide(before, [retried], NOW) if isinstance(a, Failed)] == [2]


def test_the_wait_has_a_bound() -> None:
    worn = replace(want(1), failed_starts=3000)
    actions = decide(worn, [loading(1, kernel_state="failed")], NOW)
    assert [a.next_start_at - NOW for a in actions if isinstance(a, Failed)] == [timedelta(seconds=MAX_BACKOFF_S)]


def test_after_five_failed_starts_nothing_is_started_until_somebody_asks() -> None:
    tired = want(2, failed_starts=MAX_FAILED_STARTS, next_start_at=NOW, last_failed_at=NOW)
    assert decide(tired, [seen(1, age_s=1000)], NOW + timedelta(days=1)) == []
    assert decide(want(2), [seen(1, age_s=1000)], NOW + timedelta(days=1)) == [Create(revision(1))]


def test_a_later_start_that_ends_well_forgets_the_failed_ones() -> None:
    was = want(1, failed_starts=3, next_start_at=NOW, last_failed_at=NOW - timedelta(seconds=20))
    assert decide(was, [seen(1, age_s=10)], NOW) == [Recovered()]
    assert decide(was, [seen(1, age_s=30)], NOW) == []  # it had started before the failure
    assert decide(was, [loading(1, age_s=10)], NOW) == []


def test_a_crash_after_it_was_healthy_is_no_failed_start() -> None:
    actions = decide(want(1), [seen(1, kernel_state="exited", health="unhealthy")], NOW)
    assert not any(isinstance(a, Failed) for a in actions)
    assert created(actions) == 1


# The ill


def test_an_unhealthy_replica_gets_a_replacement_and_stays_until_it_serves() -> None:
    assert decide(want(2), [seen(1), ill(2)], NOW) == [Create(revision(1))]
    assert decide(want(2), [seen(1), ill(2), loading(3)], NOW) == []
    assert left(decide(want(2), [seen(1), ill(2), seen(3)], NOW)) == {2: ("draining", "unhealthy-replaced")}


def test_one_success_brings_it_back_and_its_replacement_goes() -> None:
    assert left(decide(want(2), [seen(1), seen(2), loading(3)], NOW)) == {3: ("stopping", "scaled-in")}


def test_no_more_ill_ones_are_kept_than_could_be_of_use() -> None:
    have = [ill(1, age_s=300), ill(2, age_s=200), ill(3, age_s=100), seen(4)]
    assert left(decide(want(2), have, NOW)) == {
        2: ("draining", "unhealthy-replaced"),
        3: ("draining", "unhealthy-replaced"),
    }


def test_an_ill_one_makes_room_when_its_replacement_finds_no_machine() -> None:
    young, old = GIVE_WAY_AFTER.total_seconds() - 1, GIVE_WAY_AFTER.total_seconds()
    assert decide(want(1), [ill(1), pending(2, age_s=young)], NOW) == []
    assert left(decide(want(1), [ill(1), pending(2, age_s=old)], NOW)) == {1: ("draining", "unhealthy-replaced")}
    assert decide(want(1), [ill(1), loading(2, age_s=old)], NOW) == []  # it has a machine


# Updates


def test_an_update_starts_one_waits_for_healthy_then_drains_one() -> None:
    new = want(2, revision_id=revision(2))
    old = [seen(1), seen(2)]
    assert decide(new, old, NOW) == [Create(revision(2))]
    assert decide(new, [*old, loading(3, of=2)], NOW) == []
    assert left(decide(new, [*old, seen(3, of=2)], NOW)) == {1: ("draining", "replaced-by-update")}
    assert decide(new, [old[1], seen(3, of=2)], NOW) == [Create(revision(2))]
    assert left(decide(new, [old[1], seen(3, of=2), seen(4, of=2)], NOW)) == {2: ("draining", "replaced-by-update")}
    assert decide(new, [seen(3, of=2), seen(4, of=2)], NOW) == [Served(revision(2))]


def test_a_large_update_starts_a_quarter_at_a_time() -> None:
    assert created(decide(want(10, revision_id=revision(2)), [seen(n) for n in range(10)], NOW)) == 3
    assert created(decide(want(100, revision_id=revision(2)), [seen(n) for n in range(100)], NOW)) == 25


def test_an_update_whose_starts_fail_keeps_the_old_ones_serving() -> None:
    new = want(2, revision_id=revision(2), failed_starts=4, last_failed_at=NOW - timedelta(seconds=9))
    old = [seen(1), seen(2)]
    actions = decide(new, [*old, loading(3, of=2, kernel_state="exited")], NOW)
    assert left(actions) == {3: ("stopping", "it-said")}
    tired = replace(new, failed_starts=5, next_start_at=NOW, last_failed_at=NOW)
    assert decide(tired, old, NOW + timedelta(days=1)) == []


def test_after_a_failed_rollout_the_revision_that_serves_is_looked_after() -> None:
    tired = want(2, revision_id=revision(2), failed_starts=MAX_FAILED_STARTS, next_start_at=NOW, last_failed_at=NOW)
    dead = seen(1, kernel_state="exited")
    assert decide(tired, [dead, seen(2)], NOW)[-1] == Create(revision(1))
    assert decide(tired, [pending(1), seen(2)], NOW) == []
    assert decide(replace(tired, replicas=3), [seen(1), seen(2)], NOW) == [Create(revision(1))]
    assert decide(tired, [], NOW) == [Create(revision(1))] * 2
    assert left(decide(replace(tired, replicas=1), [seen(1), seen(2, age_s=9)], NOW)) == {2: ("draining", "scaled-in")}
    assert decide(replace(tired, served=None), [], NOW) == []  # none ever served


def test_the_revision_that_serves_is_looked_after_from_the_first_failed_start_until_the_new_one_serves() -> None:
    new = want(2, revision_id=revision(2))
    assert decide(new, [seen(1), loading(3, of=2)], NOW) == [Create(revision(2))]
    failing = replace(new, failed_starts=1, next_start_at=NOW + timedelta(seconds=1), last_failed_at=NOW)
    assert decide(failing, [seen(1)], NOW) == [Create(revision(1))]
    assert decide(failing, [seen(1), pending(2)], NOW) == []
    later = NOW + timedelta(seconds=1)
    assert decide(failing, [seen(1), pending(2)], later) == [Create(revision(2))]
    arrived = decide(failing, [seen(1), pending(2), seen(3, of=2, age_s=-1)], later + timedelta(seconds=1))
    assert left(arrived) == {2: ("ended", "replaced-by-update")}


def test_starts_of_the_revision_that_served_are_tried_for_as_long_as_it_takes() -> None:
    world = ReplicaSimulation.of(
        want(1, revision_id=revision(2), failed_starts=MAX_FAILED_STARTS, last_failed_at=NOW), []
    )
    starts = []
    for _ in range(2000):
        starts += [world.now for a in world.one_pass() if isinstance(a, Create)]
        for replica in world.have:
            if replica.status == "placed":
                world.change(replica.id, kernel_state="failed")
            else:
                world.progress(replica.id)
        world.now += timedelta(seconds=1)
    waits = [(b - a).total_seconds() for a, b in itertools.pairwise(starts)]
    assert waits == sorted(waits)
    assert MAX_BACKOFF_S <= waits[-1] <= MAX_BACKOFF_S + 5
    assert world.want.failed_starts == MAX_FAILED_STARTS


def test_a_rollout_that_failed_is_rolled_back_when_the_service_says_so() -> None:
    tired = want(2, revision_id=revision(2), failed_starts=MAX_FAILED_STARTS, last_failed_at=NOW, rollout=BACK)
    assert decide(tired, [seen(1), seen(2)], NOW) == [RollBack(revision(1), GAVE_UP)]
    unknown = replace(tired, served=None)  # the update came before any pass saw that it serves
    assert decide(unknown, [seen(1), seen(2)], NOW) == [Served(revision(1))]  # and it is rolled back then
    assert decide(unknown, [seen(1), seen(2, of=3)], NOW) == []


def test_an_update_within_a_pass_of_the_first_healthy_replica_has_a_predecessor() -> None:
    world = ReplicaSimulation.of(want(1, served=None), [loading(1)])
    world.progress(session(1))
    world.ask(revision_id=revision(2))  # no pass since it serves
    assert world.want.served == revision(1)
    late = ReplicaSimulation.of(want(1, served=None), [loading(1)])
    late.ask(revision_id=revision(2))
    late.progress(session(1))  # it serves after the update, and before the next pass
    assert Served(revision(1)) in late.one_pass()
    assert late.want.served == revision(1)


def test_an_update_starts_no_more_because_old_replicas_are_checked_anew() -> None:
    new = want(8, revision_id=revision(2))
    old = [seen(n, health="degraded") for n in range(8)]  # their agent restarted
    starting = [loading(10, of=2), loading(11, of=2)]
    assert decide(new, old, NOW) == [Create(revision(2))] * 2
    assert decide(new, [*old, *starting], NOW) == []
    assert created(decide(new, [*(ill(n) for n in range(8)), *starting], NOW)) == 6


# Rollouts without room


def test_a_rollout_that_needs_the_place_of_an_old_replica_gives_one_up() -> None:
    new = want(2, revision_id=revision(2))
    old = [seen(1, makes_room=True, age_s=500), seen(2, makes_room=True, failures=2), seen(3)]
    waits = pending(4, of=2, age_s=STUCK_AFTER.total_seconds())
    enough = replace(new, replicas=3)
    assert left(decide(enough, [*old, waits], NOW)) == {2: ("draining", "made-room-for-update")}  # the worst of them
    assert decide(enough, [*old, replace(waits, created_at=NOW)], NOW) == []
    assert decide(replace(enough, rollout=Rollout(max_unavailable=0)), [*old, waits], NOW) == []
    assert decide(enough, [*(replace(r, makes_room=False) for r in old), waits], NOW) == []


def test_a_rollout_gives_up_one_at_a_time_and_none_where_too_few_serve() -> None:
    new = want(2, revision_id=revision(2))
    waits = pending(4, of=2, age_s=60)
    leaving = seen(3, status="draining", drain_deadline=NOW + timedelta(hours=1))
    assert left(decide(new, [seen(1, makes_room=True), seen(2), leaving, waits], NOW)) == {}
    assert left(decide(new, [seen(1, makes_room=True), waits], NOW)) == {}


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_a_rollout_on_full_machines_goes_through_one_by_one(replicas: int) -> None:
    world = ReplicaSimulation.of(
        want(replicas, revision_id=revision(2)), [seen(n, makes_room=True) for n in range(replicas)], room=replicas
    )
    for _ in range(200):
        world.one_pass()
        assert world.serving >= replicas - 1
        if world.settled():
            return
        for key in list(world.sessions):
            world.progress(key)
        world.now += timedelta(seconds=5)
    pytest.fail(f"not there: {world.have}")


# Ends in operation


def ends_of(actions: list[Action]) -> list[tuple[int, int, float | None]]:
    """Count, replacements held back and the wait in seconds, of each end."""
    return [
        (a.ends, a.held, (a.next_restart_at - NOW).total_seconds() if a.next_restart_at else None)
        for a in actions
        if isinstance(a, Ended)
    ]


def test_the_first_end_in_operation_is_made_good_at_once_and_those_that_follow_wait_longer_and_longer() -> None:
    waits = []
    for before in range(8):
        crashed = seen(1, kernel_state="exited", age_s=5, healthy_at=NOW)
        again = replace(want(1), ends=before, last_end_at=NOW - timedelta(seconds=6))
        actions = decide(again, [crashed], NOW)
        (end,) = ends_of(actions)
        waits.append(end[2])
        assert end[0] == before + 1
        assert created(actions) == (before == 0)
    assert waits == [None, 1, 2, 4, 8, 16, 32, 60]


def test_a_replacement_that_waits_starts_when_its_time_has_come() -> None:
    waiting = replace(want(3), ends=3, held=1, next_restart_at=NOW + timedelta(seconds=2), last_end_at=NOW)
    assert decide(waiting, [seen(1), seen(2)], NOW) == []
    assert decide(waiting, [seen(1)], NOW) == [Create(revision(1))]  # another one is missing for another reason
    assert decide(waiting, [seen(1), seen(2)], NOW + timedelta(seconds=2)) == [Create(revision(1))]


def test_an_end_after_a_good_while_is_the_first_of_its_row() -> None:
    before = replace(want(1), ends=5, last_end_at=NOW - timedelta(days=1))
    ran_well = seen(1, kernel_state="exited", age_s=80_000, healthy_at=NOW - RAN_WELL)
    assert ends_of(decide(before, [ran_well], NOW)) == [(1, 0, None)]
    barely = replace(ran_well, healthy_at=NOW - RAN_WELL + timedelta(seconds=1))
    assert ends_of(decide(before, [barely], NOW)) == [(6, 1, 16.0)]


def test_replicas_that_end_together_count_once_and_all_wait() -> None:
    before = replace(want(3), ends=1, last_end_at=NOW - timedelta(seconds=60))
    crashed = [seen(n, kernel_state="exited", age_s=30, healthy_at=NOW) for n in range(3)]
    assert ends_of(decide(before, crashed, NOW)) == [(2, 3, 1.0)] * 3


def test_what_ends_while_it_drains_or_is_replaced_anyway_is_recorded_and_holds_nothing_up() -> None:
    draining = seen(1, status="draining", kernel_state="exited", drain_deadline=NOW + timedelta(hours=1))
    replaced = seen(2, kernel_state="exited")
    actions = decide(want(1, revision_id=revision(2)), [draining, replaced], NOW)
    assert [(a.id, a.counted, a.ends) for a in actions if isinstance(a, Ended)] == [
        (session(1), False, 0),
        (session(2), False, 0),
    ]
    assert created(actions) == 1


def causes(actions: list[Action]) -> dict[int, str]:
    return {a.id.int - 10_000: a.cause for a in actions if isinstance(a, Ended)}


def test_a_replica_that_is_replaced_because_it_fails_its_checks_ended_in_operation() -> None:
    failing = ill(1, reason=Reason(code="health-check-failed", text="GET /health failed 4 times in a row: 500"))
    assert causes(decide(want(1), [failing], NOW)) == {}, "it may still recover"
    actions = decide(want(1), [failing, seen(2)], NOW)
    assert left(actions) == {1: ("draining", "unhealthy-replaced")}
    (end,) = [a for a in actions if isinstance(a, Ended)]
    assert (end.id, end.reason, end.cause, end.counted) == (failing.id, failing.reason, "unhealthy", True)
    assert created(actions) == 0


def test_an_end_by_failed_checks_is_counted_and_delays_nothing_since_its_replacement_runs() -> None:
    before = replace(want(2), ends=3, last_end_at=NOW - timedelta(seconds=300))
    actions = decide(before, [ill(1, healthy_at=NOW - timedelta(seconds=50)), seen(2), seen(3)], NOW)
    assert ends_of(actions) == [(4, 0, None)]
    waiting = replace(before, held=1, next_restart_at=NOW + timedelta(seconds=4), last_end_at=NOW)
    assert ends_of(decide(waiting, [ill(1), seen(2), seen(3)], NOW)) == [(3, 1, 4.0)], "it leaves the wait as it is"


def test_of_a_crash_and_an_end_by_failed_checks_in_one_pass_only_the_crash_waits() -> None:
    before = replace(want(2), ends=1, last_end_at=NOW - timedelta(seconds=60))
    have = [seen(1, kernel_state="exited", age_s=30, healthy_at=NOW), ill(2, age_s=30), seen(3), seen(4)]
    actions = decide(before, have, NOW)
    assert causes(actions) == {1: "exited", 2: "unhealthy"}
    assert ends_of(actions) == [(2, 1, 1.0)] * 2


@pytest.mark.parametrize(
    "leaves",
    [
        ill(1, lost=True),
        seen(1, health="degraded", of=2),
        seen(1, lost=True),
    ],
    ids=["silent too", "only not ready after an update", "silent"],
)
def test_what_is_replaced_for_another_reason_than_its_checks_is_no_end_by_them(leaves: ObservedReplica) -> None:
    actions = decide(want(1), [leaves, seen(2)], NOW)
    assert left(actions).keys() == {1}
    assert causes(actions) == {}


def test_what_was_stopped_with_its_agent_is_replaced_at_once_and_neither_an_end_nor_a_failed_start() -> None:
    why = Reason(code="agent-stopped", text="its machine's agent was stopped")
    served = seen(1, kernel_state="exited", reason=why)
    before = replace(want(2), ends=3, last_end_at=NOW - timedelta(seconds=5))
    actions = decide(before, [served, loading(2, kernel_state="exited", reason=why)], NOW)
    assert left(actions) == {1: ("stopping", "agent-stopped"), 2: ("stopping", "agent-stopped")}
    assert not any(isinstance(a, Ended | Failed) for a in actions)
    assert created(actions) == 2


def test_of_replicas_that_fail_to_start_together_the_first_of_a_round_is_the_one_to_tell_of() -> None:
    failed = [loading(n, kernel_state="failed", age_s=5) for n in (1, 2, 3)]
    actions = decide(want(3), failed, NOW)
    assert [a.fresh for a in actions if isinstance(a, Failed)] == [True, False, False]
    counted = replace(want(3), failed_starts=1, last_failed_at=NOW)
    late = decide(counted, [loading(4, kernel_state="failed", age_s=5)], NOW)
    assert [(a.fresh, a.failed_starts) for a in late if isinstance(a, Failed)] == [(False, 1)]


@pytest.mark.parametrize("goal", ["stopped", "deleting"])
def test_what_ends_in_a_service_that_stops_is_no_end_in_operation(goal: Goal) -> None:
    assert ends_of(decide(replace(want(1), goal=goal), [seen(1, kernel_state="exited")], NOW)) == []


def test_scaling_in_takes_the_one_that_fails_its_checks() -> None:
    have = [seen(1, age_s=900, failures=1), seen(2, age_s=10), seen(3, age_s=500)]
    assert left(decide(want(2), have, NOW)) == {1: ("draining", "scaled-in")}
    assert left(decide(want(1), have, NOW)) == {1: ("draining", "scaled-in"), 2: ("draining", "scaled-in")}


def test_starts_of_a_replaced_revision_are_given_up_and_their_failures_do_not_count() -> None:
    new = want(1, revision_id=revision(3))
    actions = decide(new, [seen(1), loading(2, of=2), pending(3, of=2), loading(4, of=2, kernel_state="failed")], NOW)
    assert left(actions) == {
        2: ("stopping", "replaced-by-update"),
        3: ("ended", "replaced-by-update"),
        4: ("stopping", "it-said"),
    }
    assert not any(isinstance(a, Failed) for a in actions)
    assert created(actions) == 1


def test_an_old_replica_that_served_is_kept_while_too_few_serve() -> None:
    """Its agent was restarted in the middle of an update: it answers again in a moment."""
    new = want(2, revision_id=revision(2))
    assert left(decide(new, [seen(1), seen(2, health="degraded")], NOW)) == {}
    assert left(decide(new, [seen(1), seen(2, health="degraded"), seen(3, of=2)], NOW)) == {
        2: ("draining", "unhealthy-replaced")
    }


def test_an_update_to_no_replicas_drains_all() -> None:
    have = [seen(1), loading(2), seen(3, of=2), ill(4, of=2)]
    assert set(left(decide(want(0, revision_id=revision(2)), have, NOW))) == {1, 2, 3, 4}


def test_scale_in_during_an_update_takes_old_ones_first_and_never_too_many() -> None:
    new = want(1, revision_id=revision(2))
    assert set(left(decide(new, [seen(1), seen(2), loading(3, of=2)], NOW))) == {1}
    assert set(left(decide(new, [seen(1), seen(2), seen(3, of=2), seen(4, of=2)], NOW))) == {1, 2, 3}


# Any world

OUT_OF_SERVICE: list[dict[str, Any]] = [{"kernel_state": "exited"}, {"lost": True}]


@st.composite
def replicas(draw: st.DrawFn, number: int) -> ObservedReplica:
    """A session in a state in which a machine and a manager can have put it."""
    facts: dict[str, Any] = {"of": draw(st.integers(1, 3)), "age_s": draw(st.integers(0, 300))}
    status = draw(st.sampled_from(["pending", "placed", "running", "running", "running", "draining", "stopping"]))
    if status == "pending":
        return pending(number, **facts)
    facts["lost"] = draw(st.booleans()) and draw(st.booleans())
    if status == "placed":
        return loading(
            number, status="placed", kernel_state=draw(st.sampled_from([None, "preparing", "failed"])), **facts
        )
    facts["status"] = status
    facts["was_healthy"] = was_healthy = draw(st.booleans())
    facts["failures"] = draw(st.integers(0, 3))
    facts["makes_room"] = draw(st.booleans())
    facts["idle"] = draw(st.booleans()) and draw(st.booleans())
    facts["healthy_at"] = NOW - timedelta(seconds=draw(st.integers(0, 60))) if was_healthy else None
    facts["moving"] = facts["asked"] = draw(st.booleans()) and draw(st.booleans())
    facts["health"] = draw(
        st.sampled_from(["healthy", "degraded", "unhealthy"] if was_healthy else ["degraded", "unhealthy"])
    )
    facts["kernel_state"] = draw(st.sampled_from(["running", "running", "running", "exited"]))
    if status != "running":
        facts["drain_deadline"] = NOW + timedelta(seconds=draw(st.integers(-10, 60)))
        facts["released"] = draw(st.booleans())
    return seen(number, **facts)


STATES = st.builds(
    RolloutState,
    step=st.integers(0, 3),
    step_at=st.none() | st.builds(lambda s: NOW - timedelta(seconds=s), st.integers(0, 300)),
    paused_replicas=st.none() | st.none() | st.integers(0, 9),
    failed=st.none() | st.none() | st.just(GAVE_UP),
)


@st.composite
def worlds(draw: st.DrawFn) -> ReplicaSimulation:
    failures = draw(st.integers(0, 6))
    wanted = DesiredReplicas(
        goal=draw(st.sampled_from(["running", "running", "running", "stopped", "deleting"])),
        replicas=draw(st.integers(0, 9)),
        revision_id=revision(draw(st.integers(1, 3))),
        drain_grace_s=draw(st.sampled_from([0.0, 30.0])),
        failed_starts=failures,
        next_start_at=NOW + timedelta(seconds=draw(st.integers(-10, 60))) if failures else None,
        last_failed_at=NOW - timedelta(seconds=draw(st.integers(0, 300))) if failures else None,
        served=draw(st.none() | st.builds(revision, st.integers(1, 3))),
        ends=draw(st.integers(0, 4)),
        held=draw(st.integers(0, 3)),
        next_restart_at=draw(st.none() | st.builds(lambda s: NOW + timedelta(seconds=s), st.integers(-10, 60))),
        last_end_at=NOW - timedelta(seconds=draw(st.integers(0, 300))),
        rollout=draw(rollouts()),
        state=draw(STATES),
    )
    return ReplicaSimulation.of(wanted, [draw(replicas(n)) for n in range(draw(st.integers(0, 12)))])


def check_one_decision(world: ReplicaSimulation) -> list[Action]:
    """Decide and act once; what must hold of every decision."""
    wanted, before, serving = world.want, world.have, world.serving
    actions = world.one_pass()
    leaving = Counter(a.id for a in actions if isinstance(a, Retire))
    assert all(times == 1 for times in leaving.values())
    assert not leaving.keys() & {r.id for r in before if r.status == "stopping" and not r.lost}
    may_start = (
        wanted.goal == "running"
        and not wanted.gave_up
        and (wanted.next_start_at is None or world.now >= wanted.next_start_at)
    )
    starts = created(actions)
    of_current = sum(isinstance(a, Create) and a.revision_id == wanted.revision_id for a in actions)
    assert all(a.revision_id in {wanted.revision_id, wanted.served} for a in actions if isinstance(a, Create))
    assert not of_current or may_start
    assert starts == of_current or wanted.failed_starts or wanted.gate is not None or wanted.gave_up
    if wanted.goal == "running" and any(isinstance(a, RollBack | FailRollout) for a in actions):
        assert wanted.before is not None
        assert wanted.roll_back == any(isinstance(a, RollBack) for a in actions)
        return actions
    if wanted.goal == "running":
        given_up = [a for a in actions if isinstance(a, Retire) and a.reason.code == "made-room-for-update"]
        assert len(given_up) <= wanted.max_unavailable
        assert world.serving >= min(wanted.replicas - (wanted.max_unavailable if given_up else 0), serving)
        # One of the revision before that was healthy and is not now takes no place of the new one's.
        kept = wanted.failed_starts or wanted.gate is not None or wanted.gave_up
        looked_after = {wanted.revision_id, wanted.served} if kept else {wanted.revision_id}
        active = sum(r.serving or (starting(r, wanted) and r.revision_id in looked_after) for r in world.have)
        old = any((r.serving or starting(r, wanted)) and r.revision_id != wanted.revision_id for r in before)
        moving = any(r.moving for r in before)
        surge = (
            max(wanted.surge, 1 if moving or wanted.failed_starts or wanted.gave_up else 0)
            if old or kept or moving
            else 0
        )
        if kept:  # what is starting of the current revision takes nobody's place any more
            surge += sum(starting(r, wanted) and r.revision_id == wanted.revision_id for r in before)
        assert starts == 0 or active <= wanted.replicas + surge + sum(r.idle for r in before)
        if of_current and wanted.gate is not None:
            new = [r for r in world.have if r.revision_id == wanted.revision_id and r.status in ACTIVE]
            assert sum(not r.ill and not r.moving for r in new) <= wanted.new_replicas
        ended_anyway = {r.id for r in before if r.lost or r.dead or not r.was_healthy}
        assert sum(r.id in leaving and r.serving for r in before if r.id not in ended_anyway) - len(given_up) <= max(
            0, serving - wanted.replicas
        )
    else:
        assert not [r for r in world.have if r.status in {"pending", "placed", "running"}]
    return actions


@settings(deadline=None)
@given(world=worlds())
def test_every_decision_keeps_what_serves_and_starts_no_more_than_allowed(world: ReplicaSimulation) -> None:
    check_one_decision(world)


@settings(deadline=None)
@given(world=worlds())
def test_deciding_again_at_once_soon_adds_nothing(world: ReplicaSimulation) -> None:
    passes = 0
    while world.one_pass():
        passes += 1
    assert passes <= 8  # count, forget, roll back, leave, start in the room that this makes, stop what had no grace


@settings(deadline=None)
@given(world=worlds(), seed=st.integers(0, 1000))
def test_obeying_reaches_the_wanted_state_without_undoing_a_start(world: ReplicaSimulation, seed: int) -> None:
    """Sessions move on one by one in any order, the ill stay ill, and nothing else happens."""
    chance = Random(seed)
    for turn in range(900):
        if world.want.gave_up:
            state = replace(world.want.state, failed=None)  # somebody asks for a retry
            world.ask(failed_starts=0, next_start_at=None, last_failed_at=None, state=state)
        if turn == 300:  # somebody resumes and promotes it
            world.ask(state=RolloutState(step=3, step_at=world.now))
        made = {key for key in world.made if key in world.sessions}
        ours = {key for key in made if world.sessions[key].revision_id == world.want.revision_id}
        for action in check_one_decision(world):
            assert not (isinstance(action, Retire) and action.id in ours)
        if world.settled():
            return
        moving = [r.id for r in world.have if not r.serving] or list(world.sessions)
        for key in chance.sample(moving, k=min(2, len(moving))):
            world.progress(key)
        world.now += timedelta(seconds=1)
    pytest.fail(f"not there after 600 passes: {world.want} {world.have}")


@settings(deadline=None)
@given(
    replicas=st.integers(1, 5),
    scaled_to=st.integers(1, 5),
    seed=st.integers(0, 1000),
    roll_back=st.sampled_from([0, 1]),
    room=st.none() | st.just(6),
)
def test_a_service_whose_new_revision_never_starts_is_kept_at_what_is_wanted_by_the_one_that_served(
    replicas: int, scaled_to: int, seed: int, roll_back: int, room: int | None
) -> None:
    """Its replicas die one after another, its machine falls silent, it is scaled: the wanted number serves again."""
    chance = Random(seed)
    wanted = want(replicas, revision_id=revision(2), served=revision(1), rollout=BACK if roll_back else KEEP)
    world = ReplicaSimulation.of(wanted, [seen(n) for n in range(replicas)], room=room)
    faults = 6
    for turn in range(600):
        world.one_pass()
        for replica in world.have:
            if replica.revision_id == revision(2) and replica.status == "running":
                world.change(replica.id, kernel_state="failed")
            else:
                world.progress(replica.id)
        if turn % 20 == 10 and faults:
            faults -= 1
            serving = [r.id for r in world.have if r.serving]
            if serving:
                world.fault(chance.choice(serving), **chance.choice(OUT_OF_SERVICE))
            world.ask(replicas=scaled_to)
        world.now += timedelta(seconds=2)
    assert world.serving == scaled_to
    assert {r.revision_id for r in world.have if r.serving} == {revision(1)}
    assert decide(world.want, world.have, world.now) == []
    assert (world.want.revision_id == revision(1)) == bool(roll_back)


@settings(deadline=None)
@given(replicas=st.integers(1, 4), sick=st.integers(0, 4))
def test_a_full_cluster_does_not_keep_the_ill_from_being_replaced(replicas: int, sick: int) -> None:
    have = [ill(n) if n < sick else seen(n) for n in range(replicas)]
    world = ReplicaSimulation.of(want(replicas), have, room=replicas)
    for _ in range(300):
        world.one_pass()
        if world.settled():
            return
        for key in list(world.sessions):
            world.progress(key)
        world.now += timedelta(seconds=10)
    pytest.fail(f"not there: {world.have}")


@settings(deadline=None)
@given(replicas=st.integers(1, 4), rounds=st.integers(1, 30))
def test_a_fleet_that_falls_ill_again_and_again_does_not_grow(replicas: int, rounds: int) -> None:
    world = ReplicaSimulation.of(want(replicas), [])
    for _ in range(rounds):
        for _ in range(6):
            world.one_pass()
            for key in list(world.sessions):
                world.progress(key)
        for replica in world.have:
            if replica.serving:
                world.change(replica.id, health="unhealthy")
        world.one_pass()
        assert len([r for r in world.have if r.status in {"pending", "placed", "running"}]) <= 2 * replicas
