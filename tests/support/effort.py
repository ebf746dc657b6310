"""How many random examples are tried: all in the whole suite, a part of them in `make unit`, which one waits for."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

USUAL, QUICK = 100, 20
_ON_ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long an example takes is said by how busy the machine is."""
settings.register_profile("whole", _ON_ANY_MACHINE, max_examples=USUAL)
settings.register_profile("quick", _ON_ANY_MACHINE, max_examples=QUICK)
settings.load_profile("whole")


def examples(full: int) -> int:
    """Return the number that stands for `full` in this run."""
    assert settings.default is not None
    return max(1, full * settings.default.max_examples // USUAL)
