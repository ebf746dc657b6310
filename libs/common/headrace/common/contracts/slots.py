"""Resource slots: how much of a machine a session asks for, as decimals by slot name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

CPU = "cpu"
MEM = "mem"
GPU_DEVICE = "cuda.device"
GPU_SHARES = "cuda.shares"

_NAME = re.compile(r"^[a-z][a-z0-9]*(\.[a-z0-9-]+)?$")
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_SIZE = re.compile(r"^([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)(?:i?b)?$", re.IGNORECASE)
_LIMIT = Decimal(2**60)
_MOST_SLOTS = 64
_MOST_CHARACTERS = 64


def parse_size(value: object) -> Decimal:
    """Return bytes for `8gb`, `512MiB`, `1.5g` or a number of bytes; units are powers of 1024 (as Backend.AI counts).

    Raises ValueError with what was found and what is allowed.
    """
    match = _SIZE.match(str(value).strip())
    if match is None:
        raise ValueError(
            f"{value!r} is not a size; allowed: a number of bytes, or a number with k, m, g, t (for example 8g)"
        )
    return (Decimal(match.group(1)) * _UNITS[match.group(2).lower()]).to_integral_value()


def parse_slots(value: object) -> dict[str, Decimal]:
    """Return slots by name; `mem` takes size units. Raises ValueError naming the slot that is wrong."""
    if not isinstance(value, Mapping):
        raise ValueError(f"resource slots must be a mapping of slot name to amount, found {type(value).__name__}")
    if len(value) > _MOST_SLOTS:
        raise ValueError(f"{len(value)} resource slots; allowed: at most {_MOST_SLOTS}")
    slots: dict[str, Decimal] = {}
    for name, amount in value.items():
        if not isinstance(name, str) or len(name) > _MOST_CHARACTERS or not _NAME.match(name):
            raise ValueError(
                f"{str(name)[:_MOST_CHARACTERS]!r} is not a slot name; allowed: cpu, mem, cuda.device, cuda.shares or another accelerator name"
            )
        slots[name] = _amount(name, amount)
    if slots.get(GPU_DEVICE) and slots.get(GPU_SHARES):
        raise ValueError("cuda.device and cuda.shares cannot be asked for together; whole GPUs or fractions, not both")
    return slots


def _amount(name: str, amount: Any) -> Decimal:
    if isinstance(amount, bool):
        raise ValueError(f"{name}: {amount!r} is not a number")
    if isinstance(amount, str | int | Decimal) and len(str(amount)) > _MOST_CHARACTERS:
        raise ValueError(f"{name}: a number of {len(str(amount))} characters; allowed: at most {_MOST_CHARACTERS}")
    try:
        number = parse_size(amount) if name == MEM else Decimal(str(amount))
    except InvalidOperation:
        raise ValueError(f"{name}: {amount!r} is not a number") from None
    if not number.is_finite() or number < 0 or number > _LIMIT:
        raise ValueError(f"{name}: {amount} is out of range; allowed: 0 or more")
    if number != round(number, 6):
        raise ValueError(f"{name}: {amount} has more than 6 decimals")
    if name == GPU_DEVICE and number != number.to_integral_value():
        raise ValueError(f"cuda.device: {amount} is not a whole number; fractions are asked for with cuda.shares")
    return number


def _plain(slots: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: format(amount.normalize(), "f") for name, amount in sorted(slots.items())}


ResourceSlots = Annotated[
    dict[str, Decimal],
    BeforeValidator(parse_slots, json_schema_input_type=dict[str, str | float]),
    PlainSerializer(_plain, return_type=dict[str, str]),
]
"""Slot name → amount. `mem` in bytes, `cpu` in cores, `cuda.device` in whole GPUs, `cuda.shares` in GPU fractions."""
