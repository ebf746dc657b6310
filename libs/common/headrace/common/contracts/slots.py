"""Resource slots: how much of a machine a session asks for, as decimals by slot name.

Who asks is held to rules (`RequestedSlots`, `QuotaSlots`); what is stored or reported is read as it is (`ResourceSlots`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer

from headrace.common.contracts.wording import Refused

CPU = "cpu"
MEM = "mem"
GPU_DEVICE = "cuda.device"
GPU_SHARES = "cuda.shares"
STORAGE = "storage"
"""Bytes of a project's model folders; in quotas only."""
FILES = "files"
"""Files and directories in them; in quotas only."""
SERVICES = "services"
"""Services of a project that run, and its trial runs; in quotas only. 0 switches services off."""
OF_PROJECTS: Final = frozenset({STORAGE, FILES, SERVICES})
"""Slots of a project's quota that no replica asks for."""
SIZES = frozenset({MEM, STORAGE})
"""Slots in bytes; they may be written with units."""
MIN: Final = {CPU: Decimal("0.01"), MEM: Decimal(16 * 2**20)}
"""Minimum of every container: the container engine takes 0 for no limit, and refuses less than this or a little
below."""

MIN_SHM: Final = 2**20
"""Shared memory of a container at least."""

_NAME = re.compile(r"^[a-z][a-z0-9]*(\.[a-z0-9-]+)?$")
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_SIZE = re.compile(r"^([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)(?:i?b)?$", re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r"^-?[0-9]{1,40}+(?:\.[0-9]{1,20}+)?(?:[eE][-+]?[0-9]{1,2})?$")
_LIMIT = Decimal(2**60)
_MAX_SLOTS = 64
_MAX_CHARACTERS = 64
_NAMES = "cpu, mem, cuda.device, cuda.shares or another accelerator name"


def parse_size(value: object) -> Decimal:
    """Parse a size: `8gb`, `512MiB`, `1.5g` or a number of bytes; units are powers of 1024 (as in Backend.AI).

    Raises ValueError with what was found and what is allowed.
    """
    match = _SIZE.match(str(value).strip())
    if match is None:
        raise ValueError(
            f"{value!r} is not a size; allowed: a number of bytes, or a number with k, m, g, t (for example 8g)"
        )
    return (Decimal(match.group(1)) * _UNITS[match.group(2).lower()]).to_integral_value()


def parse_slots(value: object) -> dict[str, Decimal]:
    """Parse the slots of a quota; `mem` and `storage` take size units. Raises Refused (a ValueError) naming the invalid
    slot.
    """
    if not isinstance(value, Mapping):
        raise Refused(value, "a mapping of slot names to amounts")
    if len(value) > _MAX_SLOTS:
        raise Refused(f"{len(value)} slots", f"at most {_MAX_SLOTS}")
    slots: dict[str, Decimal] = {}
    for name, amount in value.items():
        if not isinstance(name, str) or len(name) > _MAX_CHARACTERS or not _NAME.match(name):
            raise Refused(f"the slot name {str(name)[:_MAX_CHARACTERS]}", _NAMES)
        slots[name] = _amount(name, amount)
    return slots


def parse_change(value: object) -> dict[str, Decimal | None]:
    """Parse a change of a quota by slot name; None removes the slot's limit. Raises Refused (a ValueError)."""
    if not isinstance(value, Mapping):
        raise Refused(value, "a mapping of slot names to amounts, or to null")
    away: dict[str, Decimal | None] = {name: None for name, amount in value.items() if amount is None}
    parse_slots(dict.fromkeys(value, 0))  # the names, and how many
    return away | parse_slots({name: amount for name, amount in value.items() if amount is not None})


def parse_request(value: object) -> dict[str, Decimal]:
    """Parse the slots that a replica requests. Raises Refused, also for less than every container needs."""
    slots = parse_slots(value)
    if alien := next((name for name in sorted(OF_PROJECTS) if name in slots), None):
        raise Refused(alien, "what a machine has; this is for a project's quota", below=alien)
    for name, least in MIN.items():
        if name in slots and slots[name] < least:
            raise Refused(_plain(slots)[name], f"{least_words(name)} or more", below=name)
    if slots.get(GPU_DEVICE) and slots.get(GPU_SHARES):
        raise Refused("cuda.device and cuda.shares together", "one of them: whole GPUs or fractions")
    return slots


def parse_request_change(value: object) -> dict[str, Decimal | None]:
    """Parse a change of requested slots by name; None removes a slot. Raises Refused; what is left is for `parse_request`."""
    change = parse_change(value)
    parse_request({name: amount for name, amount in change.items() if amount is not None})
    return change


def least_words(name: str) -> str:
    """Return the minimum of `cpu` or `mem` as people write it."""
    return f"{int(MIN[name] / 2**20)}m" if name == MEM else f"{MIN[name]}"


def read_slots(value: object) -> dict[str, Decimal]:
    """Parse stored or reported slots leniently: values that are no amount are left out, and nothing else is checked.

    Bytes may have a unit, as earlier versions stored and reported them.
    """
    slots: dict[str, Decimal] = {}
    for name, amount in islice(value.items(), _MAX_SLOTS) if isinstance(value, Mapping) else ():
        text = "" if isinstance(amount, bool) else str(amount).strip()
        if not isinstance(name, str) or max(len(name), len(text)) > _MAX_CHARACTERS:
            continue
        if _PLAIN_NUMBER.match(text):
            slots[name] = Decimal(text)
        elif name in SIZES and _SIZE.match(text):
            slots[name] = parse_size(text)
    return slots


def _amount(name: str, amount: Any) -> Decimal:
    if isinstance(amount, Mapping):
        inner = next((str(key) for key in amount), "")[:_MAX_CHARACTERS]
        raise Refused(amount, f'an amount, or in TOML the whole name in quotes: "{name}.{inner}"', below=name)
    allowed = "a number of bytes, or a number with k, m, g, t (for example 8g)" if name in SIZES else "a number"
    if isinstance(amount, bool) or not isinstance(amount, str | int | float | Decimal):
        raise Refused(amount, allowed, below=name)
    if not isinstance(amount, float) and len(text := str(amount)) > _MAX_CHARACTERS:
        raise Refused(f"a number of {len(text)} characters", f"at most {_MAX_CHARACTERS} characters", below=name)
    try:
        number = parse_size(amount) if name in SIZES else Decimal(str(amount).strip())
    except (InvalidOperation, ValueError):
        raise Refused(amount, allowed, below=name) from None
    if not number.is_finite() or number < 0 or number > _LIMIT:
        raise Refused(str(amount), f"0 or more, and at most {_LIMIT}", below=name)
    if number != round(number, 6):
        raise Refused(str(amount), "at most 6 decimals", below=name)
    if name in {FILES, SERVICES} and number != number.to_integral_value():
        raise Refused(str(amount), "a whole number", below=name)
    if name == GPU_DEVICE and number != number.to_integral_value():
        raise Refused(str(amount), "a whole number; fractions are asked for with cuda.shares", below=name)
    return number


def _shm_size(value: object) -> int:
    """Parse bytes of shared memory. Raises Refused."""
    try:
        return int(_amount(MEM, value))
    except Refused as refused:
        raise Refused(refused.found, refused.allowed) from None


def _plain(slots: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: format(Decimal(amount).normalize(), "f") for name, amount in sorted(slots.items())}


def _changes(slots: Mapping[str, Decimal | None]) -> dict[str, str | None]:
    return {
        **_plain({name: amount for name, amount in slots.items() if amount is not None}),
        **{name: None for name, amount in slots.items() if amount is None},
    }


_WRITTEN = PlainSerializer(_plain, return_type=dict[str, str])
_TakenAmount = Annotated[str, Field(max_length=_MAX_CHARACTERS)] | float
_TAKEN: Any = Annotated[dict[str, _TakenAmount], Field(max_length=_MAX_SLOTS)]
_TAKEN_CHANGE: Any = Annotated[dict[str, _TakenAmount | None], Field(max_length=_MAX_SLOTS)]
ResourceSlots = Annotated[dict[str, Decimal], BeforeValidator(read_slots, json_schema_input_type=_TAKEN), _WRITTEN]
"""Slot name → amount. `mem` in bytes, `cpu` in cores, `cuda.device` in whole GPUs, `cuda.shares` in GPU fractions."""
RequestedSlots = Annotated[dict[str, Decimal], BeforeValidator(parse_request, json_schema_input_type=_TAKEN), _WRITTEN]
"""Slots requested by a replica: at least a hundredth of a core and 16 MiB, and GPUs whole or in fractions, not both."""
_TAKEN_SIZE: Any = Annotated[str, Field(max_length=_MAX_CHARACTERS)] | Annotated[int, Field(ge=MIN_SHM, le=2**60)]
ShmSize = Annotated[int, BeforeValidator(_shm_size, json_schema_input_type=_TAKEN_SIZE), Field(ge=MIN_SHM, le=2**60)]
"""Bytes of shared memory, of which what is used counts as the container's memory."""
QuotaSlots = Annotated[dict[str, Decimal], BeforeValidator(parse_slots, json_schema_input_type=_TAKEN), _WRITTEN]
"""Limit by slot: 0 is none of it. `storage` (bytes) and `files` limit the project's folders, `services` those that run."""
QuotaChange = Annotated[
    dict[str, Decimal | None],
    BeforeValidator(parse_change, json_schema_input_type=_TAKEN_CHANGE),
    PlainSerializer(_changes, return_type=dict[str, str | None]),
]
"""Changes of a quota, by slot; None removes a slot's limit."""
RequestedSlotsChange = Annotated[
    dict[str, Decimal | None],
    BeforeValidator(parse_request_change, json_schema_input_type=_TAKEN_CHANGE),
    PlainSerializer(_changes, return_type=dict[str, str | None]),
]
"""Changes of requested slots, by slot; None removes a slot."""
