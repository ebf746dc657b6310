"""What operators say of machines: cordons, labels and removals; decisions and their words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.manager.domain.cordon import Cordon
from headrace.manager.domain.machine_labels import ANY_LABELS, LabelSelector, changed
from headrace.manager.domain.machine_removal import Holdings, in_words, refusal

AT = datetime(2026, 5, 1, 14, 30, 5, tzinfo=timezone(timedelta(hours=2)))


def test_a_cordon_says_who_since_when_and_why() -> None:
    assert Cordon(AT, "ada", "new RAM").text == "is cordoned by ada since 2026-05-01T12:30:05Z: new RAM"
    assert Cordon(AT, "ada", "").text == "is cordoned by ada since 2026-05-01T12:30:05Z"
    assert Cordon.read(None, "", "") is None
    assert Cordon.read(AT, "ada", "x") == Cordon(AT, "ada", "x")


def test_labels_change_one_by_one() -> None:
    assert changed({"a": "1", "b": "2"}, {"b": None, "c": "3", "d": None}) == {"a": "1", "c": "3"}
    assert changed({"a": "1"}, {"a": ""}) == {"a": ""}


@given(
    st.dictionaries(st.text(max_size=3), st.text(max_size=3)),
    st.dictionaries(st.text(max_size=3), st.none() | st.text(max_size=3)),
)
def test_a_change_of_labels_holds_and_leaves_the_others(labels: dict[str, str], change: dict[str, str | None]) -> None:
    after = changed(labels, change)
    assert all(after.get(key) == value for key, value in change.items())
    assert {k: v for k, v in after.items() if k not in change} == {k: v for k, v in labels.items() if k not in change}


def test_a_selector_has_values_and_names() -> None:
    assert LabelSelector.parse("zone=a, gpu ,rack=") == LabelSelector({"zone": "a", "rack": ""}, ("gpu",))
    assert LabelSelector.parse("zone=a,zone=a").equal == {"zone": "a"}
    assert not ANY_LABELS.equal
    assert not ANY_LABELS.present


@pytest.mark.parametrize(("text", "part"), [("", ""), ("=a", "=a"), ("a=1,,b", ""), ("zone=a,zone=b", "zone=b")])
def test_a_selector_that_says_nothing_or_two_things_is_refused_with_its_part(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(part)}$"):
        LabelSelector.parse(text)


def held(sessions: dict[str, int] | None = None, *, holding: int = 0, lost: bool = False) -> Holdings:
    return Holdings(sessions or {}, holding, lost=lost, silent_s=12.4)


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("force", [True, False])
def test_a_machine_with_nothing_may_go(*, lost: bool, force: bool) -> None:
    assert refusal("m", held(lost=lost), force=force) is None


def test_what_runs_stands_against_a_removal_with_names_and_numbers() -> None:
    runs = held({"p/chat": 2, "validation": 1}, holding=3)
    said = refusal("m", runs, force=False)
    assert said == (
        "m reports (last 12 s ago) and runs 3 sessions (2 of p/chat, 1 of validation); drain it first: "
        "headrace agent drain m --wait"
    )
    forced = refusal("m", runs, force=True)
    assert forced is not None
    assert "--force is for machines that are gone" in forced


def test_many_services_are_named_up_to_five() -> None:
    said = refusal("m", held({f"p/s{n}": 1 for n in range(9)}), force=False)
    assert said is not None
    assert "1 of p/s4, 4 more services)" in said


def test_slots_that_are_held_stand_against_it_too() -> None:
    said = refusal("m", held(holding=2), force=False)
    assert said is not None
    assert "still shows 2 stopped kernels" in said


def test_a_silent_machine_goes_by_force_alone() -> None:
    gone = held({"p/chat": 1}, lost=True)
    said = refusal("m", gone, force=False)
    assert said is not None
    assert said.endswith("if it is gone for good: headrace agent remove m --force")
    assert refusal("m", gone, force=True) is None


def test_a_removal_says_who_when_and_why() -> None:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    assert in_words("ada", at, "sold") == "ada removed it from the installation at 2026-05-01T00:00:00Z: sold"
    assert in_words("ada", at, "").endswith("T00:00:00Z")
