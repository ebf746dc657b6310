"""How many logs of a machine are read at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.agent.domain.streams import MOST, StreamOwner, refusal
from headrace.common.contracts.ids import new_uuid

PROJECTS = [new_uuid() for _ in range(4)]
SERVICES = [StreamOwner(new_uuid(), project) for project in PROJECTS for _ in range(4)]


def begin(wanted: list[StreamOwner]) -> list[StreamOwner]:
    """Return those that begin when all are asked for one after the other."""
    begun: list[StreamOwner] = []
    for owner in wanted:
        if refusal(begun, owner) is None:
            begun.append(owner)
    return begun


def test_one_reader_of_a_service_leaves_room_for_other_services_and_projects() -> None:
    greedy, beside, elsewhere = SERVICES[0], SERVICES[1], SERVICES[4]
    begun = begin([greedy] * 1000)
    refused = refusal(begun, greedy)
    assert refused is not None
    assert (refused.scope, refused.found, refused.allowed) == ("service", MOST["service"], MOST["service"])
    assert str(MOST["service"]) in refused.words
    assert refusal(begun, beside) is None
    begun = begin([owner for owner in SERVICES[:4] for _ in range(1000)])
    refused = refusal(begun, SERVICES[3])
    assert refused is not None
    assert (refused.scope, refused.found) == ("project", MOST["project"])
    assert refusal(begun, elsewhere) is None


@given(st.lists(st.sampled_from([*SERVICES, StreamOwner(new_uuid(), None)]), max_size=400))
def test_no_bound_is_ever_passed(wanted: list[StreamOwner]) -> None:
    begun = begin(wanted)
    assert len(begun) <= MOST["machine"]
    assert all(begun.count(owner) <= MOST["service"] for owner in SERVICES)
    assert all(sum(owner.project == project for owner in begun) <= MOST["project"] for project in PROJECTS)
