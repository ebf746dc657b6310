"""Benchmark cases with targets, printed with whether each was met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Case:
    """Measured value and its target: a minimum (rate) or a maximum (time, share)."""

    what: str
    value: float
    sense: Literal["at least", "at most"]
    target: float
    unit: str = ""
    note: str = ""
    """Such as the spread."""

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.value >= self.target if self.sense == "at least" else self.value <= self.target

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        verdict = "met" if self.met else "MISSED"
        return f"{self.what}: {_number(self.value)}{self.unit}{note}; {self.sense} {_number(self.target)}{self.unit}: {verdict}"


def judge(cases: Sequence[Case]) -> bool:
    """Print every case; return whether all are met."""
    for case in cases:
        print(f"  {case}")
    return all(case.met for case in cases)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
