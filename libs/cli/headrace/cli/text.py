"""Formatting of values for people: times in UTC, sizes, durations.

Text of a server is stripped of control characters, so that it cannot move the cursor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_FAR: Final = ((120, 1, "s"), (120, 60, "min"), (48, 3600, "h"), (math.inf, 86_400, "days"))
"""Up to how many of a unit it is used, its seconds, and its name."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Return `text` with control characters escaped, so that they do not reach the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def cell(value: object) -> str:
    """Format one value in one line."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return moment(value)
    return clean(str(value))


def moment(at: datetime) -> str:
    """Format a time in UTC to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def until(at: datetime | None, now: datetime) -> str:
    """Format when something ends: the time in UTC, and how far that is; `never` for None."""
    if at is None:
        return "never"
    seconds = (at - now).total_seconds()
    number, unit = next(
        (int(abs(seconds) // length), unit) for most, length, unit in _FAR if abs(seconds) < most * length
    )
    far = f"{number} {unit}"
    return f"{moment(at)} ({f'in {far}' if seconds > 0 else f'{far} ago'})"


def size(amount: float) -> str:
    """Format bytes with a unit of 1024."""
    value, unit = float(amount), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value == int(value) else f"{value:.1f} {_UNITS[unit]}"


def slots(amounts: Mapping[str, Decimal]) -> str:
    """Format resource slots as they are typed: cpu=2 mem=4.0 GiB."""
    from headrace.common.contracts.slots import SIZES  # noqa: PLC0415 - loads pydantic, without which help does

    shown = (
        f"{name}={size(float(amount)).replace(' ', '')}" if name in SIZES else f"{name}={amount.normalize():f}"
        for name, amount in sorted(amounts.items())
    )
    return clean(" ".join(shown)) or "-"


def mapping(values: Mapping[str, object]) -> str:
    """Format a mapping: `a=1 b=2`."""
    return clean(" ".join(f"{name}={value}" for name, value in values.items())) or "-"


def number(value: float) -> str:
    """Format a number as it is typed: all of its digits, and no exponent below 10^16."""
    return f"{value:g}" if not abs(value) < 1e16 else f"{Decimal(repr(value)).normalize():f}"
