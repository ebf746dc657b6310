"""Unknown slot names in requests and quotas: what is said of slots that no machine has.

They are not refused: the machine with that accelerator may come later, and a mistyped name should be seen at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.service import NoteReason
from headrace.common.contracts.slots import CPU, FILES, GPU_DEVICE, GPU_SHARES, MEM, STORAGE

WAITS: Final = "Replicas wait for a machine that has it"
BOUNDS_NOTHING: Final = "The limit bounds nothing until a machine has it"
ALWAYS_KNOWN: Final = frozenset({CPU, MEM, GPU_DEVICE, GPU_SHARES})


def unusual(asked: Iterable[str]) -> frozenset[str]:
    """Return the names of which only machines can say whether they exist."""
    return frozenset(asked) - ALWAYS_KNOWN


def unusual_in_quota(limits: Iterable[str]) -> frozenset[str]:
    """Return the names of which only machines can say whether they exist; a quota may bound folders, too."""
    return unusual(limits) - {STORAGE, FILES}


def note_of(asked: Iterable[str], of_machines: Collection[str], until: str = WAITS) -> Reason | None:
    """Return what is to be said of slots that no machine has, and what holds until one has; None when there are none.

    It is no refusal: a machine with such an accelerator may join later, and is waited for.
    """
    missing = sorted(unusual(asked) - set(of_machines))
    if not missing:
        return None
    known = sorted(ALWAYS_KNOWN | set(of_machines))
    near = [name for slot in missing for name in get_close_matches(slot, known, n=1)]
    meant = f" (did you mean {', '.join(near)}?)" if near else ""
    text = f"no machine has {', '.join(missing)}{meant}; known: {', '.join(known)}. {until}"
    return Reason.of(NoteReason.SLOT_UNKNOWN, text)
