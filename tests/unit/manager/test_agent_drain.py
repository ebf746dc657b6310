"""Drains of machines: whose turn it is, why each service is still there, and when it is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.ids import ServiceId
from headrace.manager.domain.lifecycle.agent_drain import STUCK_AFTER, DrainState, ServiceHere, decide

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def service(number: int, **facts: object) -> ServiceHere:
    """One replica there, which serves."""
    plain = ServiceHere(ServiceId(UUID(int=number)), f"p/s{number}", 1, 0, 1, 1, 0, None, "", 0)
    return replace(plain, **facts)  # type: ignore[arg-type]  # test facts


def state(
    *here: ServiceHere, moving: tuple[int, ...] = (), holding: int = 1, silent_s: float | None = None
) -> DrainState:
    return decide(here, frozenset(ServiceId(UUID(int=n)) for n in moving), holding, silent_s, NOW)


def turns(found: DrainState) -> list[int]:
    return sorted(service_id.int for service_id in found.moving)


def codes(found: DrainState) -> dict[str, str]:
    return {one.here.name: one.reason.code for one in found.services}


def test_services_move_one_after_the_other_by_name() -> None:
    found = state(service(2), service(1))
    assert turns(found) == [1]
    assert codes(found) == {"p/s1": "moving", "p/s2": "waiting-turn"}
    assert found.services[0].reason.text == "to be replaced: 1; of 1 replica 1 serving, 0 starting elsewhere"
    assert turns(state(service(1, active=0, leaving=1), service(2), moving=(1,))) == [2]


def test_one_whose_turn_it_is_keeps_it() -> None:
    assert turns(state(service(1), service(2), moving=(2,))) == [1, 2]


def test_one_without_a_machine_holds_nobody_up_and_says_the_numbers() -> None:
    waits = service(1, waiting_since=NOW - STUCK_AFTER, waiting_reason="no machine fits: b has 1 of 8 cpu free")
    found = state(waits, service(2), moving=(1,))
    assert turns(found) == [1, 2]
    assert codes(found) == {"p/s1": "no-machine", "p/s2": "moving"}
    assert "1 of 8 cpu free" in found.services[0].reason.text
    short = replace(waits, waiting_since=NOW - STUCK_AFTER + timedelta(seconds=1))
    assert turns(state(short, service(2), moving=(1,))) == [1]


def test_one_that_does_not_start_elsewhere_holds_nobody_up() -> None:
    found = state(service(1, failed_starts=5), service(2))
    assert turns(found) == [1, 2]
    assert codes(found)["p/s1"] == "starts-fail"


def test_what_leaves_and_trial_runs_are_waited_for() -> None:
    trial = service(0, service_id=None, name="validation", active=2)
    found = state(service(1, active=0, leaving=2), trial)
    assert codes(found) == {"p/s1": "leaving", "validation": "trial-run"}
    assert turns(found) == []
    assert not found.over


def test_it_is_over_when_the_machine_shows_nothing_and_nothing_holds_slots() -> None:
    assert state(holding=0).over
    held = state(holding=2)
    assert not held.over
    assert held.reason is not None
    assert (held.reason.code, held.reason.text) == ("slots-held", "its agent still shows 2 stopped kernels")
    assert state(service(1)).reason is None
    assert state(holding=0, silent_s=20).over


def test_a_silent_machine_says_that_it_is_silent() -> None:
    for found in (state(service(1), silent_s=20, holding=0), state(silent_s=20)):
        assert found.reason is not None
        assert found.reason.code == "agent-lost"


HERE = st.builds(
    ServiceHere,
    st.none() | st.integers(1, 4).map(lambda n: ServiceId(UUID(int=n))),
    st.sampled_from(["p/a", "p/b", "q/a"]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.none() | st.integers(0, 20).map(lambda s: NOW - timedelta(seconds=s)),
    st.just("why"),
    st.integers(0, 6),
)


@given(st.lists(HERE, max_size=6), st.frozensets(st.integers(1, 4)))
def test_somebody_moves_while_anybody_can_and_nobody_loses_a_turn(
    here: list[ServiceHere], numbers: frozenset[int]
) -> None:
    moving = frozenset(ServiceId(UUID(int=n)) for n in numbers)
    found = decide(here, moving, 1, None, NOW)
    able = {one.service_id for one in here if one.service_id is not None and one.active}
    assert found.moving <= able
    assert moving & able <= found.moving
    assert bool(found.moving) == bool(able)
    assert decide(here, found.moving, 1, None, NOW).moving >= found.moving
