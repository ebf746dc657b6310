"""The table of a request's states: it is complete, every state leads to the end, and what the code looks up is the table."""

from __future__ import annotations

from itertools import product

import pytest

from headrace.appproxy.dataplane.request.states import EVENTS, FOLLOWING, MEANING, TRANSITIONS, Event, State


def reachable(state: State) -> set[State]:
    """Return the states that may come after this one, sooner or later."""
    found: set[State] = set()
    ways = [state]
    while ways:
        for after, _ in TRANSITIONS[ways.pop()].values():
            if after not in found:
                found.add(after)
                ways.append(after)
    return found


def test_every_state_has_a_meaning_and_its_transitions() -> None:
    assert set(MEANING) == set(TRANSITIONS) == set(State)


def test_every_state_can_be_reached_and_every_event_means_something() -> None:
    assert reachable(State.ARRIVED) | {State.ARRIVED} == set(State)
    assert {event for ways in TRANSITIONS.values() for event in ways} == set(Event)


@pytest.mark.parametrize("state", State)
def test_every_state_leads_to_the_end_at_once_and_whoever_leaves_ends_it(state: State) -> None:
    if state is State.DONE:
        assert not TRANSITIONS[state], "nothing happens after the end"
    else:
        assert TRANSITIONS[state][Event.CALLER_LEFT][0] is State.DONE
        assert State.DONE in {after for after, _ in TRANSITIONS[state].values()}


@pytest.mark.parametrize("state", State)
def test_the_proxy_answers_itself_only_before_a_response_has_begun(state: State) -> None:
    assert (Event.REPLIED in TRANSITIONS[state]) is (state < State.STREAM)
    assert (Event.ABORTED in TRANSITIONS[state]) is (State.STREAM <= state < State.DONE)


def test_a_request_is_sent_again_only_before_a_response_has_begun() -> None:
    back = {state for state, ways in TRANSITIONS.items() for after, _ in ways.values() if after < state}
    assert back == {State.CONNECT, State.AWAIT_HEAD}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_what_the_code_looks_up_is_the_table(state: State, event: Event) -> None:
    assert len(Event) == EVENTS
    expected = TRANSITIONS[state].get(event)
    assert FOLLOWING[state * EVENTS + event] is (expected[0] if expected else None)
    assert expected is None or expected[1], "every transition says when it happens"
