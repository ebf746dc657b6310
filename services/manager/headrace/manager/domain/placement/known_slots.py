"""Unknown slot names in requests and quotas: a note for slots that no machine has.

They are not refused: the machine with that accelerator may come later; but a typo should be noticed at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.service import NoteReason
from headrace.common.contracts.slots import CPU, GPU_DEVICE, GPU_SHARES, MEM, OF_PROJECTS

WAITS: Final = "Replicas wait for a machine that has it"
BOUNDS_NOTHING: Final = "The limit bounds nothing until a machine has it"
ALWAYS_KNOWN: Final = frozenset({CPU, MEM, GPU_DEVICE, GPU_SHARES})


def unusual(asked: Iterable[str]) -> frozenset[str]:
    """Return the slot names that exist only if some machine reports them."""
    return frozenset(asked) - ALWAYS_KNOWN


def unusual_in_quota(limits: Iterable[str]) -> frozenset[str]:
    """Return the slot names of a quota that exist only if some machine reports them; a quota may limit folders and services, too."""
    return unusual(limits) - OF_PROJECTS


def note_of(asked: Iterable[str], of_machines: Collection[str], until: str = WAITS) -> Reason | None:
    """Return a note about slots that no machine has; None when there are none.

    It is not a refusal: a machine with such an accelerator may join later, and the session waits for it. `until`: text
    of what holds until then.
    """
    missing = sorted(unusual(asked) - set(of_machines))
    if not missing:
        return None
    known = sorted(ALWAYS_KNOWN | set(of_machines))
    near = [name for slot in missing for name in get_close_matches(slot, known, n=1)]
    meant = f" (did you mean {', '.join(near)}?)" if near else ""
    text = f"no machine has {', '.join(missing)}{meant}; known: {', '.join(known)}. {until}"
    return Reason.of(NoteReason.SLOT_UNKNOWN, text)
