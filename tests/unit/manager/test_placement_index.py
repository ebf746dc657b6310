"""Large fleets: placement decides as a scan of all machines does, and what fits nowhere costs no look at each of them."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.manager.domain.placement.scheduler import (
    RESERVE_AFTER,
    RESERVE_UNTIL,
    Grant,
    Machine,
    Placement,
    Request,
    place_all,
)
from tests.support.bytecodes import bytecodes
from tests.support.effort import examples
from tests.unit.manager.test_placement import NOW, ONE, Ledger, check_words, machine, request

ZERO = Decimal(0)
SHAPES: list[dict[str, object]] = [
    {"cpu": 3},
    {"cpu": "0.5", "cuda.device": 1},
    {"cuda.device": 2, "mem": "9g"},
    {"cuda.device": 4},
    {"cuda.shares": "0.3", "cpu": 1},
    {"cuda.shares": "0.45"},
    {"cuda.shares": "1.2"},
    {"cpu": 9},
    {"mem": "31g", "cpu": "0.25"},
    {"tpu": 1},
]


def large_fleet(chance: random.Random, machines: int, full: float) -> list[Machine]:
    """Machines of which about this part have no GPU and little else free."""
    return [_drawn(chance, number, full=chance.random() < full) for number in range(machines)]


def _drawn(chance: random.Random, number: int, *, full: bool) -> Machine:
    states = ["W", "W", "0", "0.2"] if full else ["1", "1", "0.7", "0.3", "0", "W"]
    gpus = [chance.choice(states) for _ in range(chance.choice([0, 2, 4]))]
    place = machine(
        f"m{number}",
        gpus=["0" if state == "W" else state for state in gpus],
        whole=frozenset(f"gpu-{at}" for at, state in enumerate(gpus) if state == "W"),
        held={"cpu": 7 + chance.randrange(3) if full else chance.randrange(9), "mem": f"{chance.randrange(33)}g"},
        resource_group=chance.choice(["default", "default", "default", "lab"]),
        architecture=chance.choice(["x86_64", "x86_64", "aarch64"]),
        runtime=chance.choice(["process", "process", "docker"]),
    )
    if chance.random() < 0.3:
        ends = {slot: place.total[slot] - place.free[slot] for slot in ("cpu", "mem") if place.free[slot] < 8}
        place = replace(place, leaving={slot: amount for slot, amount in ends.items() if amount > 0})
        goes = {gpu: ONE - free for gpu, free in place.gpus.items() if free < 1 and chance.random() < 0.7}
        place = replace(place, leaving_gpus=goes)
    if chance.random() < 0.1:
        place = replace(place, free={**place.free, "tpu": ONE}, total={**place.total, "tpu": ONE})
    return place


def long_queue(chance: random.Random, sessions: int) -> list[Request]:
    """Some shapes, and each of them also with a little more CPU."""
    queue = []
    for number in range(sessions):
        shape = dict(chance.choice(SHAPES))
        if chance.random() < 0.5:
            shape["cpu"] = str(Decimal(str(shape.get("cpu", 1))) + Decimal(chance.randrange(100)) / 1000)
        queue.append(
            request(
                number,
                age_s=chance.choice([5, 60, 300, 899, 900]),
                slots=shape,
                resource_group=chance.choice(["default", "default", "lab"]),
                architecture=chance.choice([None, "x86_64", "aarch64"]),
                without_image=chance.random() < 0.5,
            )
        )
    return queue


class Scan:
    """Placement in the plainest way: for each session every machine is looked at."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self.ledger = Ledger(machines)
        self.by_use: dict[object, list[str]] = {}
        """Machines by how much they were used when the first session came that may go to the same ones."""
        self.kept: dict[str, tuple[str, Request]] = {}

    def _most_used(self, name: str) -> tuple[Fraction, Fraction, Fraction, str]:
        free = self.ledger.free[name]
        return sum(self.ledger.gpus[name].values(), Fraction(0)), free["cpu"], free["mem"], name

    def nearness(self, name: str, ask: Request) -> tuple[Fraction, Fraction, Fraction, str]:
        free, gpus = self.ledger.free[name], self.ledger.gpus[name].values()
        shares = ask.slots.get("cuda.shares", ZERO)
        near = max(gpus, default=Fraction(0)) if shares else Fraction(0)
        if ask.slots.get("cuda.device") or shares >= 1:
            near = Fraction(sum(gpu == 1 for gpu in gpus))
        return -near, -free["cpu"], -free["mem"], name

    def place(self, ask: Request) -> Placement | None:
        kept = {name for name, _ in self.kept.values()}
        kind = (ask.resource_group, ask.architecture, ask.without_image)
        if kind not in self.by_use:
            may_go = [name for name in self.ledger.machines if self.ledger.may_go(name, ask)]
            self.by_use[kind] = sorted(may_go, key=self._most_used)
        eligible = self.by_use[kind]
        for name in eligible:
            if name not in kept and self.ledger.fits(name, ask):
                placement = Placement(ask.id, name, self._counted(ask), self._grants(name, ask))
                self.ledger.take(placement, ask)
                return placement
        possible = any(self.ledger.fits(name, ask, empty=True) for name in eligible)
        if possible and RESERVE_AFTER <= NOW - ask.created_at < RESERVE_UNTIL and ask.resource_group not in self.kept:
            able = [name for name in eligible if self.ledger.fits(name, ask, once_left=True)]
            if able:
                self.kept[ask.resource_group] = (min(able, key=lambda name: self.nearness(name, ask)), ask)
        return None

    def _counted(self, ask: Request) -> dict[str, Decimal]:
        return {slot: amount for slot, amount in ask.slots.items() if amount > 0 and not slot.startswith("cuda.")}

    def _grants(self, name: str, ask: Request) -> tuple[Grant, ...]:
        left, shares = dict(self.ledger.gpus[name]), ask.slots.get("cuda.shares", ZERO)
        slot = "cuda.shares" if shares else "cuda.device"
        whole = int(shares or ask.slots.get("cuda.device", ZERO))
        unused = sorted(gpu for gpu, free in left.items() if free == 1)[:whole]
        grants = [Grant(gpu, slot, ONE) for gpu in unused]
        if rest := shares - int(shares):
            fullest = min((free, gpu) for gpu, free in left.items() if free >= rest and gpu not in unused)
            grants.append(Grant(fullest[1], slot, rest))
        return tuple(grants)


@settings(max_examples=examples(30))
@given(
    seed=st.integers(0, 2**32),
    machines=st.sampled_from([1, 15, 17, 40, 260, 300]),
    sessions=st.integers(1, 40),
    full=st.sampled_from([0.0, 0.5, 0.9, 0.97, 1.0]),
)
def test_every_session_goes_where_a_scan_of_all_machines_puts_it(
    seed: int, machines: int, sessions: int, full: float
) -> None:
    chance = random.Random(seed)  # a fleet, not a secret
    fleet, queue = large_fleet(chance, machines, full), long_queue(chance, sessions)
    placed, waiting = place_all(fleet, queue, NOW)
    scan = Scan(fleet)
    found = [scan.place(ask) for ask in sorted(queue, key=lambda ask: (ask.created_at, ask.id))]
    assert placed == [placement for placement in found if placement is not None]
    asks = {ask.id: ask for ask in queue}
    assert {UUID(int=w.id.int) for w in waiting} == asks.keys() - {p.id for p in placed}
    keeps = {ask.id: name for name, ask in scan.kept.values()}
    for wait in waiting:
        ask = asks[wait.id]
        check_words(scan.ledger, ask, wait, scan.kept)
        said = re.search(r"; (\S+) is kept for it$", wait.text)
        assert (said[1] if said else None) == keeps.get(wait.id)
        eligible = [name for name in scan.ledger.machines if scan.ledger.may_go(name, ask)]
        nearest = sorted(eligible, key=lambda name, ask=ask: scan.nearness(name, ask))[:5]  # type: ignore[misc]  # bound now
        named = re.findall(r"[:;] (m\d+) (?:would need|has no)", wait.text)
        assert named == [name for name in nearest if f"{name} is kept for session" not in wait.text]


FULL: dict[str, dict[str, object]] = {
    "nothing ends": {},
    "one GPU of each machine is about to be free": {"leaving_gpus": {"gpu-0": ONE}},
}


def refusals_cost(machines: int, sessions: int, facts: dict[str, object]) -> int:
    """Return how many bytecodes it takes to refuse sessions that all ask for something else, on machines of all sizes."""
    fleet = [
        replace(place, total={**place.total, "mem": place.total["mem"] + number}, **facts)  # type: ignore[arg-type]  # test facts
        for number in range(machines)
        for place in [machine(f"m{number:04}", gpus=["0"] * 8, whole=frozenset(f"gpu-{gpu}" for gpu in range(8)))]
    ]
    asks = [
        request(n, age_s=RESERVE_AFTER.total_seconds(), slots={"cuda.device": 2, "cpu": Decimal(n + 1) / 1000})
        for n in range(sessions)
    ]
    assert len(place_all(fleet, asks, NOW)[1]) == sessions
    return bytecodes(lambda: place_all(fleet, asks, NOW))


@pytest.mark.parametrize("facts", FULL.values(), ids=FULL)
def test_to_refuse_one_more_session_costs_the_same_on_eight_times_as_many_machines(facts: dict[str, object]) -> None:
    few, many = (refusals_cost(machines, 60, facts) - refusals_cost(machines, 20, facts) for machines in (100, 800))
    assert many < few * 1.25, f"{few / 40:.0f} bytecodes each on 100 machines, {many / 40:.0f} on 800"


def test_what_would_fit_no_empty_machine_is_refused_without_a_look_at_each_size() -> None:
    def cost(machines: int, sessions: int) -> int:
        fleet = [
            replace(place, total={**place.total, "mem": place.total["mem"] + number})
            for number in range(machines)
            for place in [machine(f"m{number:04}")]
        ]
        asks = [request(n, age_s=RESERVE_AFTER.total_seconds(), slots={"cpu": 9 + n}) for n in range(sessions)]
        assert all("even when empty" in waits.text for waits in place_all(fleet, asks, NOW)[1])
        return bytecodes(lambda: place_all(fleet, asks, NOW))

    few, many = (cost(machines, 60) - cost(machines, 20) for machines in (100, 800))
    assert many < few * 1.25, f"{few / 40:.0f} bytecodes each on 100 machines, {many / 40:.0f} on 800"


def test_machines_that_lack_one_thing_each_do_not_hide_the_one_that_has_all() -> None:
    """The bounds of many machines together say that it may fit; of these, one does."""
    fleet = [
        machine(f"m{number:02}", held={"cpu": 7} if number % 2 else {"mem": "31g"}) for number in range(3 * 16 + 1)
    ]
    ask = request(slots={"cpu": 4, "mem": "16g"})
    _, (waiting,) = place_all(fleet, [ask], NOW)
    assert waiting.code == "insufficient-slots"
    (placed,), _ = place_all([*fleet, machine("z")], [ask], NOW)
    assert placed.machine_id == "z"


def test_a_gpu_of_which_a_part_leaves_is_kept_for_the_share_that_it_will_have() -> None:
    leaving = machine("a", gpus=["0.3"], leaving_gpus={"gpu-0": Decimal("0.5")})
    _, (waiting,) = place_all([leaving], [request(slots={"cuda.shares": "0.7"}, age_s=100)], NOW)
    assert waiting.text.endswith("a is kept for it")
    _, (waiting,) = place_all([leaving], [request(slots={"cuda.shares": "0.9"}, age_s=100)], NOW)
    assert "none is kept for it" in waiting.text


def test_what_an_older_session_took_is_not_kept_for_one_that_asks_after_it() -> None:
    leaving = machine("a", held={"cpu": 5}, leaving={"cpu": Decimal(4)})  # 3 free, 7 once it has left
    oldest = request(1, slots={"cpu": 8}, age_s=300)
    takes = request(2, slots={"cpu": 3}, age_s=200)
    asks = request(3, slots={"cpu": 7}, age_s=100)
    placed, (_, waiting) = place_all([leaving], [oldest, takes, asks], NOW)
    assert [placement.id for placement in placed] == [takes.id]
    assert "none is kept for it" in waiting.text
    _, (_, alone) = place_all([leaving], [oldest, asks], NOW)
    assert alone.text.endswith("a is kept for it")
