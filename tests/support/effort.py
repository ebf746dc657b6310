"""How many random examples are tried: all in the whole suite, a part of them in `make unit`, which one waits for."""

from __future__ import annotations

from hypothesis import settings

USUAL, QUICK = 100, 20
settings.register_profile("quick", max_examples=QUICK)


def examples(full: int) -> int:
    """Return the number that stands for `full` in this run."""
    assert settings.default is not None
    return max(1, full * settings.default.max_examples // USUAL)
