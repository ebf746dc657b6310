"""The table of a session's states: it is complete, leads to the end, and never back."""

from itertools import product

import pytest

from headrace.common.contracts.vocabulary import SessionStatus
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.lifecycle.states import ACTIVE, PLANNED, STATES, TRANSITIONS


def reachable(state: SessionStatus) -> set[SessionStatus]:
    """Return the states that may come after this one, sooner or later."""
    found: set[SessionStatus] = set()
    ways = list(TRANSITIONS[state])
    while ways:
        after = ways.pop()
        if after not in found:
            found.add(after)
            ways += TRANSITIONS[after]
    return found


def test_every_state_has_a_meaning_and_its_transitions() -> None:
    assert set(states.MEANING) == set(TRANSITIONS) == set(STATES)


@pytest.mark.parametrize("state", STATES)
def test_every_state_but_the_last_leads_to_the_end_and_none_leads_back(state: SessionStatus) -> None:
    after = reachable(state)
    assert ("ended" in after) is (state != "ended")
    assert state not in after
    assert all(STATES.index(later) > STATES.index(state) for later in TRANSITIONS[state])


def test_what_leaves_is_active_no_more_and_what_ended_is_neither_live_nor_planned() -> None:
    assert [s for s in STATES if states.leaving(s)] == ["draining", "stopping", "ended"]
    assert [s for s in STATES if not states.live(s)] == ["ended"]
    assert all(states.live(s) for s in ACTIVE | PLANNED)
    assert tuple(s for s in STATES if s in ACTIVE) == states.STAGES


def test_the_way_out_of_an_active_session_is_a_transition_of_the_table() -> None:
    for state, served, lost in product(ACTIVE, (True, False), (True, False)):
        if state == "running" or not served:  # only what ran has served
            assert states.exit_state(state, served=served, lost=lost) in TRANSITIONS[state]


def test_only_a_replica_that_serves_drains() -> None:
    assert states.exit_state("running", served=True, lost=False) == "draining"
    assert states.exit_state("running", served=False, lost=False) == "stopping"
    assert states.exit_state("running", served=True, lost=True) == "ended"
    assert states.exit_state("pending", served=False, lost=False) == "ended"
