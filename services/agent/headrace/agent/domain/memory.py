"""Memory eviction: kernels above their mem slot where nothing enforces it, with the reasons that are reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.agent.domain.usage import Usage
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.contracts.slots import MEM

_NEWS = 1.25
"""Growth of memory use that is reported anew: each new text is a write in the manager's database."""


@dataclass(frozen=True, slots=True)
class MemoryOverLimit:
    """Memory use of a kernel above its mem slot."""

    used_bytes: int
    limit_bytes: int

    @property
    def reason(self) -> Reason:
        """Reason that is reported while it runs on."""
        return Reason.of(KernelReason.MEMORY_OVER_LIMIT, f"it uses {self._numbers}; nothing on its machine bounds it")

    @property
    def end(self) -> Reason:
        """Reason of its eviction, where the agent's setting says so."""
        return Reason.of(KernelReason.OUT_OF_MEMORY, f"it was ended for using {self._numbers} (memory_over_limit)")

    @property
    def _numbers(self) -> str:
        return (
            f"{self.used_bytes / 2**20:.0f} MiB of memory, more than its mem slot of {self.limit_bytes / 2**20:.0f} MiB"
        )


def over_limit(
    specs: Mapping[KernelId, KernelSpec], usage: Mapping[KernelId, Usage], before: Mapping[KernelId, MemoryOverLimit]
) -> dict[KernelId, MemoryOverLimit]:
    """Return the kernels that use more memory than their mem slot.

    The numbers of `before` are kept until use grew by `_NEWS`, because each new text is a write in the manager's
    database.
    """
    found = {}
    for kernel_id, now in usage.items():
        spec = specs.get(kernel_id)
        limit = int(spec.slots.get(MEM) or 0) if spec is not None else 0
        held = now.mem_bytes if now.held_bytes is None else now.held_bytes
        if 0 < limit < held:
            said = before.get(kernel_id)
            still = said is not None and held < said.used_bytes * _NEWS
            found[kernel_id] = said if said is not None and still else MemoryOverLimit(held, limit)
    return found
