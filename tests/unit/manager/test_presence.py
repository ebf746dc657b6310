"""Who is absent, as one pair of ears can tell."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.manager.domain.presence import Presence


def test_nobody_is_absent_before_it_has_listened_long_enough() -> None:
    presence = Presence(8)
    assert [presence.present(now) for now in (0.0, 4.0, 7.9)] == [None, None, None]
    assert presence.present(8.0) == []


def test_who_was_heard_is_present_for_as_long() -> None:
    presence = Presence(8)
    for now in (0.0, 4.0, 8.0):
        presence.present(now)
    presence.heard("a", 9.0)
    assert presence.present(12.0) == ["a"]
    assert presence.present(16.9) == ["a"]
    assert presence.present(17.0) == []


def test_an_interruption_and_a_sleep_begin_anew() -> None:
    presence = Presence(8)
    for now in (0.0, 4.0, 8.0):
        presence.present(now)
    presence.interrupt()
    assert presence.present(9.0) is None
    assert presence.present(16.9) is None
    assert presence.present(17.0) == []
    assert presence.present(25.0) is None, "8 s without a look: it was asleep"


Step = tuple[float, bool, frozenset[str]]


@given(st.lists(st.tuples(st.floats(0.01, 12), st.booleans(), st.frozensets(st.sampled_from("abc")))))
def test_an_absent_machine_was_silent_through_unbroken_listening(steps: list[Step]) -> None:
    presence, now = Presence(8), 0.0
    last_break, last_heard = 0.0, dict.fromkeys("abc", -100.0)
    presence.present(now)
    for wait, broken, talking in steps:
        now += wait
        if broken:
            presence.interrupt()
        if broken or wait >= 8:
            last_break = now
        for machine in talking:
            presence.heard(machine, now)
            last_heard[machine] = now
        present = presence.present(now)
        for machine in set("abc") - set(present if present is not None else "abc"):
            assert now - last_heard[machine] >= 8
            assert now - last_break >= 8
