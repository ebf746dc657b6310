from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from headrace.common.contracts.slots import ResourceSlots, parse_size, parse_slots

SLOTS = TypeAdapter(ResourceSlots)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8gb", 8 * 2**30),
        ("8g", 8 * 2**30),
        ("8GiB", 8 * 2**30),
        ("512m", 2**29),
        ("1.5g", 3 * 2**29),
        (1024, 1024),
        ("0", 0),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "g", "-1", "8 gigs", "1e9", "nan", None, "0x10"])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="is not a size; allowed"):
        parse_size(text)


def test_the_seeds_example() -> None:
    assert parse_slots({"cpu": 1, "mem": "8gb", "cuda.shares": "0.5"}) == {
        "cpu": Decimal(1),
        "mem": Decimal(8 * 2**30),
        "cuda.shares": Decimal("0.5"),
    }


@pytest.mark.parametrize(
    ("slots", "why"),
    [
        ({"cuda.device": "1.5"}, "not a whole number"),
        ({"cuda.device": 1, "cuda.shares": "0.5"}, "cannot be asked for together"),
        ({"cpu": -1}, "out of range"),
        ({"cpu": "0.1234567"}, "more than 6 decimals"),
        ({"cpu": "many"}, "not a number"),
        ({"cpu": True}, "not a number"),
        ({"cpu": "NaN"}, "out of range"),
        ({"cpu": "Infinity"}, "out of range"),
        ({"CPU!": 1}, "not a slot name"),
        (["cpu"], "must be a mapping"),
        ({"mem": "1" * 2_000_000}, "2000000 characters"),
        ({"cuda.shares": "1." + "0" * 2_000_000}, "2000002 characters"),
        ({"cpu": 10**100}, "101 characters"),
        ({"x" * 65: 1}, "not a slot name"),
        ({f"x{i}": 1 for i in range(65)}, "65 resource slots"),
    ],
)
def test_wrong_slots_say_what_is_wrong(slots: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_slots(slots)


@given(st.dictionaries(st.sampled_from(["cpu", "mem", "cuda.shares", "rocm.device"]), st.decimals(0, 10**6, places=3)))
def test_slots_survive_json(slots: dict[str, Decimal]) -> None:
    slots = {name: amount.to_integral_value() if name == "mem" else amount for name, amount in slots.items()}
    assert SLOTS.validate_json(SLOTS.dump_json(slots)) == slots
