"""Where sessions go: an example for each rule, and an independent replay that checks every decision and every word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.common.contracts.slots import parse_slots
from headrace.manager.domain.cordon import Cordon
from headrace.manager.domain.placement.machines import KERNEL_BYTES, PLAN, PLAN_KIB, with_plan
from headrace.manager.domain.placement.scheduler import (
    RESERVE_AFTER,
    RESERVE_UNTIL,
    Machine,
    Placement,
    Request,
    Unplaced,
    place_all,
    preemption_candidates,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GIB = 2**30
ONE = Decimal(1)


def machine(
    name: str = "a", *, gpus: Sequence[str] = (), held: dict[str, str | int] | None = None, **facts: object
) -> Machine:
    """8 cores, 32 GiB; `gpus`: what is free of each; `held`: counted slots in use."""
    total = parse_slots({"cpu": 8, "mem": "32g"})
    used = parse_slots(held or {})
    shares = {f"gpu-{number}": Decimal(free) for number, free in enumerate(gpus)}
    plain = Machine(
        id=name,
        resource_group="default",
        architecture="x86_64",
        runtime="process",
        free={slot: amount - used.get(slot, 0) for slot, amount in total.items()},
        total=total,
        gpus=shares,
    )
    return replace(plain, **facts)  # type: ignore[arg-type]  # test facts


def request(number: int = 1, *, age_s: float = 10, **facts: object) -> Request:
    """Asks for 2 cores and 4 GiB but for `slots`."""
    slots = parse_slots(facts.pop("slots", {"cpu": 2, "mem": "4g"}))
    plain = Request(
        id=SessionId(UUID(int=number)),
        resource_group="default",
        architecture=None,
        without_image=True,
        slots=slots,
        created_at=NOW - timedelta(seconds=age_s),
    )
    return replace(plain, **facts)  # type: ignore[arg-type]  # test facts


def where(placed: Sequence[Placement]) -> dict[int, str]:
    return {p.id.int: p.machine_id for p in placed}


def held(placement: Placement) -> list[tuple[str, str, Decimal]]:
    return [(g.gpu_id, g.slot, g.amount) for g in placement.grants]


def refused(machines: Sequence[Machine], *requests: Request) -> Unplaced:
    """The reason of the last one."""
    return place_all(machines, requests, NOW)[1][-1]


# Who may go where


def test_a_machine_with_less_disk_than_its_reserve_is_passed_over_and_named_as_the_reason() -> None:
    (placed,), _ = place_all([machine("a", disk_low=True), machine("b")], [request()], NOW)
    assert placed.machine_id == "b"
    alone = refused([machine("a", disk_low=True)], request())
    assert alone.code == "disk-low"
    assert "less disk free than their agents keep in reserve" in alone.text


def test_a_machine_at_an_address_that_is_not_allowed_is_passed_over_and_named_as_the_reason() -> None:
    (placed,), _ = place_all([machine("a", address_refused=True), machine("b")], [request()], NOW)
    assert placed.machine_id == "b"
    alone = refused([machine("a", address_refused=True)], request())
    assert alone.code == "address-not-allowed"
    assert "1 say that they are at an address that is not allowed for them" in alone.text


def test_a_session_goes_to_a_machine_that_fits() -> None:
    (placed,), waiting = place_all([machine()], [request()], NOW)
    assert (placed.machine_id, placed.grants) == ("a", ())
    assert placed.slots == {"cpu": 2, "mem": 4 * GIB}
    assert waiting == []


@pytest.mark.parametrize(
    ("place", "ask", "code", "words"),
    [
        ({"resource_group": "lab"}, {}, "other-group", "1 are not in resource group default"),
        (
            {"architecture": "aarch64"},
            {"architecture": "x86_64"},
            "other-architecture",
            "1 are not x86_64, as the image is",
        ),
        ({"runtime": "docker"}, {}, "no-image", "1 run containers only, and the service names no image"),
    ],
)
def test_group_architecture_and_image_must_fit(
    place: dict[str, Any], ask: dict[str, Any], code: str, words: str
) -> None:
    waiting = refused([machine(**place)], request(**ask))
    assert (waiting.code, waiting.text) == (code, f"no machine fits: {words}")


def test_secrets_go_to_machines_only_to_which_they_can_be_encrypted() -> None:
    plain, old = machine("a", plan_key=True), machine("b", plan_key=False)
    assert where(place_all([old], [request()], NOW)[0]) == {1: "b"}
    assert where(place_all([old, plain], [request(has_secrets=True)], NOW)[0]) == {1: "a"}
    why = refused([old], request(has_secrets=True))
    assert why.code == "no-plan-key"
    assert "1 have agents of an older version, to which no secret can be encrypted" in why.text


def test_what_names_an_image_runs_on_every_kind_of_machine() -> None:
    for runtime in ("docker", "process"):
        assert place_all([machine(runtime=runtime)], [request(without_image=False)], NOW)[0]


def test_without_machines_the_reason_says_so() -> None:
    assert refused([], request()) == Unplaced(
        SessionId(UUID(int=1)), PlacementReason.NO_MACHINES, "no machine is alive; add one or start its agent"
    )


# Packing


def test_the_most_used_machine_that_fits_is_taken() -> None:
    machines = [machine("a"), machine("b", held={"cpu": 4}), machine("c", held={"cpu": 7})]
    assert where(place_all(machines, [request()], NOW)[0]) == {1: "b"}
    free_gpus = [machine("a", gpus=["1", "1"]), machine("b", gpus=["1"]), machine("c")]
    assert where(place_all(free_gpus, [request()], NOW)[0]) == {1: "c"}


def test_equal_machines_are_filled_one_after_the_other() -> None:
    machines = [machine("c"), machine("a"), machine("b")]
    placed, _ = place_all(machines, [request(n) for n in range(6)], NOW)
    assert where(placed) == {0: "a", 1: "a", 2: "a", 3: "a", 4: "b", 5: "b"}


def test_a_share_goes_to_the_fullest_gpu_that_still_has_it() -> None:
    place = machine(gpus=["1", "0.5", "0.3", "0.2"])
    (placed,), _ = place_all([place], [request(slots={"cuda.shares": "0.3"})], NOW)
    assert held(placed) == [("gpu-2", "cuda.shares", Decimal("0.3"))]


def test_whole_gpus_are_those_that_nobody_holds() -> None:
    place = machine(gpus=["0.9", "1", "0", "1"], whole=frozenset({"gpu-2"}))
    (placed,), _ = place_all([place], [request(slots={"cuda.device": 2})], NOW)
    assert held(placed) == [("gpu-1", "cuda.device", ONE), ("gpu-3", "cuda.device", ONE)]


def test_a_gpu_that_is_held_whole_has_no_shares_to_give() -> None:
    place = machine(gpus=["0.5"], whole=frozenset({"gpu-0"}))
    assert refused([place], request(slots={"cuda.shares": "0.2"})).code == "insufficient-gpus"


def test_shares_above_one_take_gpus_fully_and_the_rest_of_another() -> None:
    place = machine(gpus=["1", "0.4", "1"])
    (placed,), _ = place_all([place], [request(slots={"cuda.shares": "1.4"})], NOW)
    assert held(placed) == [("gpu-0", "cuda.shares", ONE), ("gpu-1", "cuda.shares", Decimal("0.4"))]


def test_amounts_are_exact_however_fine() -> None:
    third = Decimal("0.333333")
    placed, waiting = place_all(
        [machine(gpus=["1"])], [request(n, slots={"cuda.shares": third}) for n in range(4)], NOW
    )
    assert len(placed) == 3
    assert "at most 0.000001 of one free" in waiting[0].text


def test_nothing_is_asked_of_a_slot_with_amount_zero() -> None:
    shrunk = machine(held={"cpu": 9})
    assert place_all([shrunk], [request(slots={"cpu": 0, "mem": "1g", "cuda.device": 0, "tpu": 0})], NOW)[0]


# Order and reservation


def test_the_oldest_is_served_first_and_equals_by_id() -> None:
    crowd = [request(3, age_s=5), request(2, age_s=9), request(1, age_s=5)]
    tight = machine(held={"cpu": 4})
    assert where(place_all([tight], crowd, NOW)[0]) == {2: "a", 1: "a"}


def test_what_does_not_fit_is_passed_over_until_it_has_waited() -> None:
    large = request(1, slots={"cpu": 8})
    busy = machine(held={"cpu": 1}, leaving={"cpu": ONE})
    assert where(place_all([busy], [replace(large, created_at=NOW - timedelta(seconds=59)), request(2)], NOW)[0]) == {
        2: "a"
    }
    placed, waiting = place_all([busy], [replace(large, created_at=NOW - RESERVE_AFTER), request(2)], NOW)
    assert placed == []
    assert [(w.code, w.text) for w in waiting] == [
        ("insufficient-slots", "no machine fits: a would need 8 cpu, 7 of 8 free; a is kept for it"),
        ("kept-for-older", f"no machine fits: a is kept for session {UUID(int=1)}, which has waited longer"),
    ]


def test_one_machine_is_kept_for_each_group_the_one_with_most_of_what_is_asked() -> None:
    machines = [
        machine("a", held={"cpu": 6}, leaving={"cpu": Decimal(6)}),
        machine("b", held={"cpu": 1}, leaving={"cpu": ONE}),
        machine("x", resource_group="lab"),
    ]
    first, second = request(1, age_s=90, slots={"cpu": 8}), request(2, age_s=80, slots={"cpu": 8})
    placed, waiting = place_all(machines, [first, second, request(3), request(4, resource_group="lab")], NOW)
    assert where(placed) == {3: "a", 4: "x"}
    assert [w.text.endswith("; b is kept for it") for w in waiting] == [True, False]


def test_a_machine_on_which_something_stays_in_the_way_is_kept_for_nobody() -> None:
    """Four GPUs are wanted where one is taken for good: the other three are everybody's."""
    place = machine("a", gpus=["0", "1", "1", "1"], whole=frozenset({"gpu-0"}))
    large, small = request(1, age_s=300, slots={"cuda.device": 4}), request(2, slots={"cuda.device": 1})
    placed, waiting = place_all([place], [large, small], NOW)
    assert where(placed) == {2: "a"}
    assert waiting[0].text == (
        "no machine fits: a would need 4 whole GPUs, 2 of 4 free; "
        "none is kept for it, because nothing that is in its way is about to leave"
    )
    leaving = replace(place, leaving_gpus={"gpu-0": ONE})
    placed, waiting = place_all([leaving], [large, small], NOW)
    assert placed == []
    assert waiting[0].text.endswith("; a is kept for it")


def test_each_session_for_which_nothing_leaves_is_told_so_and_a_younger_one_gets_what_leaves() -> None:
    """The older ones want more than will ever be free of the machine that something leaves."""
    place = machine(held={"cpu": 5}, leaving={"cpu": Decimal(3)})
    older = [request(number, age_s=300 - number, slots={"cpu": 8}) for number in (1, 2)]
    placed, waiting = place_all([place], [*older, request(3, age_s=200, slots={"cpu": 6}), request(4)], NOW)
    assert placed == []
    assert [w.text.rpartition("; ")[2] for w in waiting] == [
        "none is kept for it, because nothing that is in its way is about to leave",
        "none is kept for it, because nothing that is in its way is about to leave",
        "a is kept for it",
        f"no machine fits: a is kept for session {UUID(int=3)}, which has waited longer",
    ]


def test_nothing_is_kept_for_longer_than_its_bound() -> None:
    busy = machine(held={"cpu": 1}, leaving={"cpu": ONE})
    large = request(1, slots={"cpu": 8})
    for age, kept in ((RESERVE_UNTIL - timedelta(seconds=1), True), (RESERVE_UNTIL, False)):
        placed, waiting = place_all([busy], [replace(large, created_at=NOW - age), request(2)], NOW)
        assert (placed == []) == kept
        assert waiting[0].text.endswith("is kept for it" if kept else "because it has waited for more than 15 min")


def test_what_was_placed_in_the_same_pass_does_not_leave() -> None:
    place = machine(gpus=["0", "1"], whole=frozenset({"gpu-0"}), leaving_gpus={"gpu-0": ONE})
    older, large = request(1, age_s=400, slots={"cuda.shares": "0.5"}), request(2, age_s=300, slots={"cuda.device": 2})
    placed, waiting = place_all([place], [older, large, request(3)], NOW)
    assert where(placed) == {1: "a", 3: "a"}
    assert "nothing that is in its way is about to leave" in waiting[0].text


def test_a_gpu_that_was_given_whole_in_the_same_pass_does_not_leave_either() -> None:
    place = machine(gpus=["1", "0"], whole=frozenset({"gpu-1"}), leaving_gpus={"gpu-1": ONE})
    older, young = request(1, age_s=400, slots={"cuda.device": 1}), request(3, age_s=100, slots={"cuda.device": 1})
    placed, waiting = place_all([place], [older, request(2, age_s=300, slots={"cuda.device": 2}), young], NOW)
    assert where(placed) == {1: "a"}
    assert "nothing that is in its way is about to leave" in waiting[0].text
    assert waiting[1].text.endswith("; a is kept for it")


def test_who_makes_room_is_who_alone_holds_what_is_missing() -> None:
    enough, short, elsewhere = (SessionId(UUID(int=number)) for number in (7, 8, 9))
    without = {
        enough: machine("a", held={"cpu": 6}),
        short: machine("b", held={"cpu": 7}),
        elsewhere: machine("c", resource_group="lab"),
    }
    assert preemption_candidates(request(), without, NOW) == {enough}


def test_nothing_is_kept_for_what_can_never_fit() -> None:
    placed, waiting = place_all([machine()], [request(1, age_s=900, slots={"cpu": 9}), request(2)], NOW)
    assert where(placed) == {2: "a"}
    assert waiting[0].text == "no machine is large enough, even when empty: a would need 9 cpu, 6 of 8 free"


# Words


@pytest.mark.parametrize(
    ("place", "slots", "code", "words"),
    [
        ({"held": {"cpu": "6.5"}}, {"cpu": 4}, "insufficient-slots", "a would need 4 cpu, 1.5 of 8 free"),
        ({"held": {"mem": "30g"}}, {"mem": "4g"}, "insufficient-slots", "a would need 4 GiB, 2 of 32 GiB free"),
        (
            {"held": {"mem": 4096}},
            {"mem": "32g"},
            "insufficient-slots",
            "a would need 32 GiB, 31.9999962 of 32 GiB free",
        ),
        (
            {"held": {"mem": 1}},
            {"mem": "32g"},
            "insufficient-slots",
            "a would need 34359738368 bytes of memory, 34359738367 of 34359738368 free",
        ),
        ({"held": {"cpu": 9}}, {"cpu": 1}, "insufficient-slots", "a would need 1 cpu, 0 of 8 free"),
        ({}, {"cuda.device": 1}, "exceeds-every-machine", "a has no GPU"),
        ({"gpus": ["1", "0.5"]}, {"cuda.device": 2}, "insufficient-gpus", "a would need 2 whole GPUs, 1 of 2 free"),
        (
            {"gpus": ["0.2"]},
            {"cuda.shares": "0.5"},
            "insufficient-gpus",
            "a would need 0.5 of a GPU, at most 0.2 of one free",
        ),
        (
            {"gpus": ["1", "0.2"]},
            {"cuda.shares": "2"},
            "insufficient-gpus",
            "a would need 2 whole GPUs as shares, 1 of 2 free",
        ),
        (
            {"gpus": ["1", "0.2"]},
            {"cuda.shares": "1.5"},
            "insufficient-gpus",
            "a would need 1 whole GPU and 0.5 of another, 1 of 2 free and at most 0.2 of another",
        ),
        (
            {"gpus": ["0"], "held": {"cpu": 8}},
            {"cuda.device": 1, "cpu": 1},
            "insufficient-gpus",
            "a would need 1 whole GPU, 0 of 1 free and would need 1 cpu, 0 of 8 free",
        ),
    ],
)
def test_a_reason_has_the_arithmetic_in_it(
    place: dict[str, object], slots: dict[str, object], code: str, words: str
) -> None:
    waiting = refused([machine(**place)], request(slots=slots))  # type: ignore[arg-type]  # test facts
    assert waiting.code == code
    assert waiting.text.split(": ", 1)[1] == words


def test_what_no_machine_could_ever_hold_is_told_from_what_is_only_held_by_others_now() -> None:
    full, small = machine("full", gpus=["0", "0"]), machine("small", gpus=["1"])
    two, three = request(slots={"cuda.device": 2}), request(slots={"cuda.device": 3})
    now = refused([full, small], two)
    assert (now.code, now.text.partition(": ")[0]) == ("insufficient-gpus", "no machine fits")
    never = refused([full, small], three)
    assert never.code == "exceeds-every-machine"
    assert never.text == (
        "no machine is large enough, even when empty: small would need 3 whole GPUs, 1 of 1 free; "
        "full would need 3 whole GPUs, 0 of 2 free"
    )
    assert refused([small], request(slots={"cpu": 9})).code == "exceeds-every-machine", "whatever the resource is"


@pytest.mark.parametrize("obstacle", [{"disk_low": True}, {"address_refused": True}])
def test_a_machine_that_cannot_be_used_for_the_moment_may_still_be_the_one_that_is_large_enough(
    obstacle: dict[str, Any],
) -> None:
    small, large = machine("small", gpus=["1"]), replace(machine("large", gpus=["1", "1"]), **obstacle)
    waiting = refused([small, large], request(slots={"cuda.device": 2}))
    assert (waiting.code, waiting.text.partition(": ")[0]) == ("insufficient-gpus", "no machine fits")
    assert refused([small, large], request(slots={"cuda.device": 3})).code == "exceeds-every-machine"
    elsewhere = machine("elsewhere", gpus=["1", "1"], resource_group="lab")
    assert refused([small, elsewhere], request(slots={"cuda.device": 2})).code == "exceeds-every-machine"


def test_a_machine_whose_plan_is_full_takes_no_more_and_says_why() -> None:
    full = replace(machine(), free={PLAN: Decimal(8), "cpu": ONE}, total={PLAN: Decimal(PLAN_KIB), "cpu": ONE})
    small, large = (with_plan({"cpu": ONE}, spec_bytes) for spec_bytes in (100, 9 * 1024))
    assert place_all([full], [replace(request(), slots=small)], NOW)[0]
    assert refused([full], replace(request(), slots=large)).text == (
        "no machine fits: a would need 12 KiB of its plan, 8 of 5500 KiB free (specs with large environments fill it)"
    )


@given(st.integers(0, 10**6))
def test_a_session_takes_of_a_plan_at_least_what_its_spec_takes_and_at_most_a_step_more(spec_bytes: int) -> None:
    taken = with_plan({"cpu": ONE}, spec_bytes)
    assert taken["cpu"] == 1
    assert 0 <= taken[PLAN] * 1024 - (spec_bytes + KERNEL_BYTES) < 4096


def test_the_nearest_misses_are_named_and_the_others_counted() -> None:
    machines = [machine(f"m{n}", held={"cpu": n}) for n in range(1, 9)] + [machine("x", resource_group="lab")] * 3
    text = refused(machines, request(slots={"cpu": 8})).text
    assert text.startswith("no machine fits: m1 would need 8 cpu, 7 of 8 free; m2 would need 8 cpu, 6 of 8 free; ")
    assert text.endswith("; 3 more do not fit either; 3 are not in resource group default")


def test_reasons_speak_of_what_is_free_after_the_pass() -> None:
    text = refused([machine()], request(1, slots={"cpu": 5}), request(2, slots={"cpu": 5})).text
    assert text == "no machine fits: a would need 5 cpu, 3 of 8 free"


# Any fleet and any queue: an independent replay


SHAPES = st.sampled_from(
    [
        {"cpu": 1},
        {"cpu": 3, "mem": "4g"},
        {"cpu": "0.5", "cuda.device": 1},
        {"cuda.device": 2},
        {"cuda.device": 4},
        {"cuda.shares": "0.1"},
        {"cuda.shares": "0.3", "cpu": 1},
        {"cuda.shares": "0.5"},
        {"cuda.shares": "1.2"},
        {"cuda.shares": "2"},
        {"cpu": 99},
        {"mem": "31g"},
        {"tpu": 1},
    ]
)


@st.composite
def fleets(draw: st.DrawFn) -> list[Machine]:
    def one(number: int) -> Machine:
        free = draw(st.lists(st.sampled_from(["1", "1", "1", "0.7", "0.3", "0", "W"]), max_size=4))
        whole = frozenset(f"gpu-{at}" for at, amount in enumerate(free) if amount == "W")
        place = machine(
            f"m{number}",
            gpus=["0" if amount == "W" else amount for amount in free],
            whole=whole,
            held={"cpu": str(draw(st.integers(0, 9))), "mem": f"{draw(st.integers(0, 32))}g"},
            resource_group=draw(st.sampled_from(["default", "default", "lab"])),
            architecture=draw(st.sampled_from(["x86_64", "x86_64", "aarch64"])),
            runtime=draw(st.sampled_from(["process", "docker"])),
        )
        most = {"cpu": Decimal(draw(st.integers(0, 9))), "mem": Decimal(4 * GIB * draw(st.integers(0, 9)))}
        goes = {slot: min(place.total[slot] - place.free[slot], amount) for slot, amount in most.items()}
        gone = {gpu: ONE - amount for gpu, amount in place.gpus.items() if amount < 1 and draw(st.booleans())}
        place = replace(place, leaving={slot: amount for slot, amount in goes.items() if amount > 0}, leaving_gpus=gone)
        if draw(st.booleans()):
            return place
        tpus = Decimal(draw(st.integers(0, 2)))
        return replace(place, free={**place.free, "tpu": tpus}, total={**place.total, "tpu": tpus})

    return [one(number) for number in range(draw(st.integers(0, 8)))]


@st.composite
def queues(draw: st.DrawFn) -> list[Request]:
    return [
        request(
            number,
            age_s=draw(st.sampled_from([5, 30, 60, 61, 300, 899, 900])),
            slots=draw(SHAPES),
            resource_group=draw(st.sampled_from(["default", "default", "lab", "none"])),
            architecture=draw(st.sampled_from([None, None, "x86_64", "aarch64"])),
            without_image=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 25)))
    ]


class Ledger:
    """What is free, kept in fractions and in the plainest way."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self.machines = {m.id: m for m in machines}
        self.free = {m.id: {slot: Fraction(amount) for slot, amount in m.free.items()} for m in machines}
        self.gpus = {m.id: {gpu: Fraction(amount) for gpu, amount in m.gpus.items()} for m in machines}
        self.used_as: dict[tuple[str, str], str] = {}
        for m in machines:
            for gpu, amount in m.gpus.items():
                if gpu in m.whole or 0 < amount < 1:
                    self.used_as[m.id, gpu] = "cuda.device" if gpu in m.whole else "cuda.shares"

    def may_go(self, name: str, ask: Request) -> bool:
        m = self.machines[name]
        return (
            m.resource_group == ask.resource_group
            and ask.architecture in (None, m.architecture)
            and (not ask.without_image or m.runtime == "process")
        )

    def fits(self, name: str, ask: Request, *, empty: bool = False, once_left: bool = False) -> bool:
        m = self.machines[name]
        free = {slot: Fraction(amount) for slot, amount in m.total.items()} if empty else self.free[name]
        gpus = [Fraction(1)] * len(m.gpus) if empty else list(self.gpus[name].values())
        if once_left:
            free = {slot: amount + Fraction(m.leaving.get(slot, 0)) for slot, amount in free.items()}
            gpus = [amount + Fraction(m.leaving_gpus.get(gpu, 0)) for gpu, amount in self.gpus[name].items()]
        for slot, amount in ask.slots.items():
            if not slot.startswith("cuda.") and amount > 0 and free.get(slot, Fraction(0)) < Fraction(amount):
                return False
        shares = Fraction(ask.slots.get("cuda.shares", 0))
        full = int(ask.slots.get("cuda.device", 0)) or int(shares)
        unused = [gpu for gpu in gpus if gpu == 1]
        others = [gpu for gpu in gpus if gpu != 1] + unused[full:]
        rest = shares - int(shares)
        return len(unused) >= full and (rest == 0 or any(gpu >= rest for gpu in others))

    def take(self, placement: Placement, ask: Request) -> None:
        name = placement.machine_id
        assert dict(placement.slots) == {s: a for s, a in ask.slots.items() if a > 0 and not s.startswith("cuda.")}
        for slot, amount in placement.slots.items():
            self.free[name][slot] -= Fraction(amount)
            assert self.free[name][slot] >= 0, "a machine is oversubscribed"
        for grant in placement.grants:
            self.gpus[name][grant.gpu_id] -= Fraction(grant.amount)
            assert self.gpus[name][grant.gpu_id] >= 0, "a GPU is oversubscribed"
            assert self.used_as.setdefault((name, grant.gpu_id), grant.slot) == grant.slot, "whole and shares are mixed"
            assert grant.slot == "cuda.shares" or grant.amount == 1
        for slot in ("cuda.device", "cuda.shares"):
            assert sum(g.amount for g in placement.grants if g.slot == slot) == ask.slots.get(slot, 0)
        assert len({g.gpu_id for g in placement.grants}) == len(placement.grants)


@given(machines=fleets(), requests=queues())
def test_every_decision_and_every_word_is_true(machines: list[Machine], requests: list[Request]) -> None:
    placed, waiting = place_all(machines, requests, NOW)
    goes, waits = {p.id: p for p in placed}, {w.id: w for w in waiting}
    assert len(placed) + len(waiting) == len(requests)
    assert goes.keys() | waits.keys() == {r.id for r in requests}
    ledger, kept = Ledger(machines), dict[str, tuple[str, Request]]()
    for ask in sorted(requests, key=lambda r: (r.created_at, r.id)):
        taken = {name for name, _ in kept.values()}
        if ask.id in goes:
            name = goes[ask.id].machine_id
            assert ledger.may_go(name, ask)
            assert name not in taken
            ledger.take(goes[ask.id], ask)
            continue
        fitting = [name for name in ledger.machines if ledger.may_go(name, ask) and ledger.fits(name, ask)]
        assert set(fitting) <= taken, "it waits although a machine fits"
        able = [n for n in ledger.machines if ledger.may_go(n, ask) and ledger.fits(n, ask, once_left=True)]
        waited = RESERVE_AFTER <= NOW - ask.created_at < RESERVE_UNTIL
        due = ask.resource_group not in kept and waited and bool(able)
        keeps = re.search(r"; (\S+) is kept for it$", waits[ask.id].text)
        assert bool(keeps) == due
        if keeps:
            assert keeps[1] in able
            kept[ask.resource_group] = (keeps[1], ask)
    for ask in requests:
        if ask.id in waits:
            check_words(ledger, ask, waits[ask.id], kept)


def check_words(ledger: Ledger, ask: Request, waits: Unplaced, kept: dict[str, tuple[str, Request]]) -> None:
    """Recheck the arithmetic of a reason against what is free after all placements."""
    text = waits.text
    eligible = [name for name in ledger.machines if ledger.may_go(name, ask)]
    if not ledger.machines:
        assert waits.code == "no-machines"
        return
    named = set()
    for name, words in re.findall(r"(?:[:;]) (m\d+) ((?:would need|has no)[^;]*)", text):
        named.add(name)
        assert name in eligible
        assert not ledger.fits(name, ask)
        free, gpus = ledger.free[name], list(ledger.gpus[name].values())
        for asked, slot, left, total in re.findall(r"would need (\S+) (cpu|tpu), (\S+) of (\S+) free", words):
            assert Fraction(asked) == ask.slots[slot] > Fraction(left) == max(0, free.get(slot, 0))
            assert Fraction(total) == ledger.machines[name].total.get(slot, 0)
        for asked, left in re.findall(r"would need (\S+) GiB, (\S+) of 32 GiB free", words):
            assert Fraction(asked) * GIB == ask.slots["mem"] > Fraction(left) * GIB == max(0, free["mem"])
        for asked, left, total in re.findall(r"would need (\d+) whole GPU.*?, (\d+) of (\d+) free", words):
            assert int(asked) == int(ask.slots.get("cuda.device", 0) or ask.slots.get("cuda.shares", 0))
            assert (int(left), int(total)) == (gpus.count(Fraction(1)), len(gpus))
        for left in re.findall(r"at most (\S+) of (?:one|another)", words):
            assert Fraction(left) == max((gpu for gpu in gpus if gpu < 1), default=Fraction(0))
    for name, older in re.findall(r"(m\d+) is kept for session (\S+),", text):
        named.add(name)
        assert (name, UUID(older)) == (kept[ask.resource_group][0], kept[ask.resource_group][1].id)
        assert ledger.fits(name, ask)
        first = kept[ask.resource_group][1]
        assert (first.created_at, first.id) < (ask.created_at, ask.id)
    more = re.search(r"(\d+) more do not fit either", text)
    assert len(named) + (int(more[1]) if more else 0) == len(eligible)
    assert len(named) >= min(5, len(eligible))
    away = sum(int(count) for count in re.findall(r"(\d+) (?:are not|run containers)", text))
    assert away == len(ledger.machines) - len(eligible)
    never = eligible and not any(ledger.fits(name, ask, empty=True) for name in eligible)
    assert text.startswith("no machine is large enough, even when empty: " if never else "no machine fits: ")
    assert (waits.code == "exceeds-every-machine") == bool(never)


@given(machines=fleets(), requests=queues(), data=st.data())
def test_the_order_of_arguments_does_not_matter(
    machines: list[Machine], requests: list[Request], data: st.DataObject
) -> None:
    again = place_all(data.draw(st.permutations(machines)), data.draw(st.permutations(requests)), NOW)
    assert place_all(machines, requests, NOW) == again


@given(machines=fleets(), requests=queues())
def test_a_second_pass_places_nothing_more(machines: list[Machine], requests: list[Request]) -> None:
    placed, waiting = place_all(machines, requests, NOW)
    ledger = Ledger(machines)
    asks = {r.id: r for r in requests}
    for placement in placed:
        ledger.take(placement, asks[placement.id])
    left = [
        replace(
            m,
            free={
                s: m.free[s] - sum((p.slots.get(s, Decimal(0)) for p in placed if p.machine_id == m.id), Decimal(0))
                for s in m.free
            },
            gpus={g: Decimal(f.numerator) / f.denominator for g, f in ledger.gpus[m.id].items()},
            whole=frozenset(g for (n, g), slot in ledger.used_as.items() if n == m.id and slot == "cuda.device"),
        )
        for m in machines
    ]
    again, still = place_all(left, [asks[w.id] for w in waiting], NOW)
    assert again == []
    assert {w.id for w in still} == {w.id for w in waiting}


def test_a_long_queue_of_different_sessions_that_fit_nowhere_is_refused() -> None:
    """How fast, benchmarks/placement.py measures."""
    machines = [machine(f"m{n:04}", gpus=["0"] * 8, held={"cpu": 8}) for n in range(2000)]
    requests = [request(n, slots={"cuda.device": 1, "cpu": Decimal(n) / 1000 + 1}) for n in range(4000)]
    placed, waiting = place_all(machines, requests, NOW)
    assert (len(placed), len(waiting)) == (0, 4000)


def test_a_cordoned_machine_takes_nothing_and_says_by_whom_since_when_and_why() -> None:
    cordon = Cordon(NOW, "ada", "new RAM")
    placed, (waiting,) = place_all([machine("a", cordon=cordon)], [request()], NOW)
    assert not placed
    assert waiting.code == PlacementReason.CORDONED
    assert waiting.text == "no machine fits: a is cordoned by ada since 2026-01-01T00:00:00Z: new RAM"
    placed, _ = place_all([machine("a", cordon=cordon), machine("b")], [request()], NOW)
    assert [placement.machine_id for placement in placed] == ["b"]


def test_of_many_cordons_two_are_quoted() -> None:
    cordon = Cordon(NOW, "ada", "")
    _, (waiting,) = place_all([machine(name, cordon=cordon) for name in "abcd"], [request()], NOW)
    assert waiting.text.endswith("b is cordoned by ada since 2026-01-01T00:00:00Z; 2 more are cordoned")
    _, (waiting,) = place_all([machine(name, cordon=cordon) for name in "abc"], [request()], NOW)
    assert waiting.text.endswith("; 1 more is cordoned")


def test_a_machine_that_nearly_fits_counts_before_a_cordoned_one() -> None:
    small = machine("b", held={"cpu": 7})
    _, (waiting,) = place_all([machine("a", cordon=Cordon(NOW, "ada", "")), small], [request()], NOW)
    assert waiting.code == PlacementReason.INSUFFICIENT_SLOTS
    assert "a is cordoned by ada" in waiting.text
