"""Labels that operators give machines: changes, and selectors of lists. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class LabelSelector:
    """Selector of machines: labels with this value, and labels that are there with any."""

    equal: Mapping[str, str] = field(default_factory=dict)
    present: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> LabelSelector:
        """Read `KEY=VALUE` and `KEY`, with commas between them. Raises ValueError with the part that is neither."""
        equal: dict[str, str] = {}
        present: list[str] = []
        for part in text.split(","):
            key, sign, value = (word.strip() for word in part.partition("="))
            if not key or equal.get(key, value) != value:
                raise ValueError(part)
            if sign:
                equal[key] = value
            else:
                present.append(key)
        return cls(equal, tuple(present))


ANY_LABELS: Final = LabelSelector()


def changed(labels: Mapping[str, str], change: Mapping[str, str | None]) -> dict[str, str]:
    """Return the labels after a change: a value sets one, None takes it away."""
    after = {key: value for key, value in labels.items() if key not in change}
    return after | {key: value for key, value in change.items() if value is not None}
