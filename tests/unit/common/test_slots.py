from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from headrace.common.contracts.slots import ResourceSlots, parse_request, parse_size, parse_slots

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
        ({"cuda.device": "1.5"}, "cuda.device: found 1.5; allowed: a whole number"),
        ({"cuda.device": 1, "cuda.shares": "0.5"}, "together; allowed: one of them"),
        ({"cpu": 0}, r"cpu: found 0; allowed: 0\.01 or more"),
        ({"mem": "1m"}, "mem: found 1048576; allowed: 16m or more"),
        ({"cuda": {"shares": 1}}, 'the whole name in quotes: "cuda.shares"'),
        ({"cpu": -1}, "0 or more"),
        ({"cpu": "0.1234567"}, "at most 6 decimals"),
        ({"cpu": "many"}, "found many; allowed: a number"),
        ({"cpu": True}, "found True; allowed: a number"),
        ({"cpu": "NaN"}, "0 or more"),
        ({"cpu": "Infinity"}, "0 or more"),
        ({"CPU!": 1}, "the slot name CPU!"),
        (["cpu"], "a mapping of slot names"),
        ({"mem": "1" * 2_000_000}, "2000000 characters"),
        ({"cuda.shares": "1." + "0" * 2_000_000}, "2000002 characters"),
        ({"cpu": 10**100}, "101 characters"),
        ({"x" * 65: 1}, "the slot name xxx"),
        ({f"x{i}": 1 for i in range(65)}, "65 slots"),
    ],
)
def test_wrong_slots_say_what_is_wrong(slots: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_request(slots)


@given(st.dictionaries(st.sampled_from(["cpu", "mem", "cuda.shares", "rocm.device"]), st.decimals(0, 10**6, places=3)))
def test_slots_survive_json(slots: dict[str, Decimal]) -> None:
    slots = {name: amount.to_integral_value() if name == "mem" else amount for name, amount in slots.items()}
    assert SLOTS.validate_json(SLOTS.dump_json(slots)) == slots


def test_what_is_stored_or_reported_is_read_as_it_is() -> None:
    """A machine has a whole GPU taken and a share of another; older versions let zeros pass."""
    held = {"cuda.device": "1", "cuda.shares": "0.5", "cpu": "0", "mem": 1024}
    assert SLOTS.validate_python(held) == {name: Decimal(str(amount)) for name, amount in held.items()}
    assert SLOTS.validate_python({"cpu": "many", "mem": "1" * 100, "x": None, "gpu": "1"}) == {"gpu": Decimal(1)}
    assert SLOTS.validate_python({f"x{i}": 1 for i in range(1000)}).keys() == {f"x{i}" for i in range(64)}


@pytest.mark.parametrize(
    ("text", "size"), [("64g", 64 * 2**30), ("64 GiB", 64 * 2**30), (" 1.5G ", 3 * 2**29), ("8gb", 8 * 2**30)]
)
def test_memory_that_was_stored_or_reported_with_a_unit_is_read_in_bytes(text: str, size: int) -> None:
    assert SLOTS.validate_python({"cpu": "4", "mem": text}) == {"cpu": Decimal(4), "mem": Decimal(size)}


def test_a_unit_is_read_at_memory_only_and_a_long_text_not_at_all() -> None:
    assert SLOTS.validate_python({"cpu": "4g", "cuda.device": "1k", "mem": "1" * 64 + "g"}) == {}
