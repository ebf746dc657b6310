"""Who is absent, as one pair of ears can tell."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.manager.domain.presence import ALL_SILENT_S, Presence


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


def looked(presence: Presence, *, until: int, since: int = 0, heard: dict[str, range] | None = None) -> object:
    """Look every second, having heard each machine in its range; return the last answer."""
    found: object = None
    for now in range(since, until + 1):
        for machine, times in (heard or {}).items():
            if now in times:
                presence.heard(machine, float(now))
        found = presence.present(float(now))
    return found


def test_when_none_of_several_is_heard_it_is_the_listeners_own_network() -> None:
    presence = Presence(8)
    both = {"a": range(0, 20, 2), "b": range(1, 20, 2)}
    assert looked(presence, until=19, heard=both) == ["a", "b"]
    assert looked(presence, since=20, until=22) == ["a", "b"]
    assert looked(presence, since=23, until=50) is None
    back = {"a": range(51, 80, 2)}
    assert looked(presence, since=51, until=58, heard=back) is None, "b has its time, too"
    assert looked(presence, since=59, until=60, heard=back) == ["a"]


def test_all_that_are_silent_for_a_minute_are_absent() -> None:
    presence = Presence(8)
    looked(presence, until=19, heard={"a": range(20), "b": range(20)})
    over = int(19 + ALL_SILENT_S)
    assert looked(presence, since=20, until=over - 1) is None
    assert looked(presence, since=over, until=over) == []


def test_machines_that_report_seldom_still_tell_who_is_absent() -> None:
    presence = Presence(8)
    found = [looked(presence, since=now, until=now, heard={"a": range(3), "b": range(0, 100, 5)}) for now in range(20)]
    assert found[11] == ["b"]


def test_the_last_machine_is_absent_after_its_own_silence() -> None:
    presence = Presence(8)
    alone = {"a": range(10), "b": range(40)}
    assert looked(presence, until=39, heard=alone) == ["b"]
    assert looked(presence, since=40, until=46) == ["b"]
    assert looked(presence, since=47, until=47) == []


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
