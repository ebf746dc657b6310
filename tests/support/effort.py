"""Number of random examples per kind of run: most in the nightly one, fewer in the whole suite, fewest in `make unit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import HealthCheck, settings

T = TypeVar("T")
NIGHTLY, USUAL, QUICK = 100, 40, 10
_ON_ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long an example takes is said by how busy the machine is."""
settings.register_profile("nightly", _ON_ANY_MACHINE, max_examples=NIGHTLY)
settings.register_profile("usual", _ON_ANY_MACHINE, max_examples=USUAL)
settings.register_profile("quick", _ON_ANY_MACHINE, max_examples=QUICK)
settings.load_profile("usual")


def _tried() -> int:
    assert settings.default is not None
    return settings.default.max_examples


def examples(full: int) -> int:
    """Return the number of random examples of this run, of `full` in the nightly one."""
    return max(1, full * _tried() // NIGHTLY)


def some_of(given: Sequence[T]) -> Sequence[T]:
    """Return all cases, or only the first of them in `make unit`."""
    return given[:1] if _tried() <= QUICK else given
