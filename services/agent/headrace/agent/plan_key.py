"""The agent's plan key: the pair to which managers encrypt the specs in its plans. Blocking."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog
from pydantic import TypeAdapter, ValidationError

from headrace.agent.metrics import DISK_WRITES_FAILED
from headrace.common.bus.plan_encryption import PlanKey, PlanUnreadableError
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec, NodePlan, ReplicaSpec
from headrace.common.runtime.files import write_atomically

log = structlog.get_logger()
NAME: Final = "plan.key"
"""Its file in the agent's data folder: 32 bytes, hexadecimal, 0600."""
_MAX_BYTES: Final = 100
_SPECS: Final = TypeAdapter(dict[str, ReplicaSpec])


def kept_key(folder: Path) -> PlanKey:
    """Return the key in this folder. Where there is none that can be used a new one is written there.

    Managers encrypt the plan anew for a new key. One that cannot be written is used until the agent ends.
    """
    path = folder / NAME
    try:
        with path.open("rb") as file:
            return PlanKey.load(bytes.fromhex(file.read(_MAX_BYTES).decode("ascii").strip()))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        log.warning("plan_key_unreadable", file=str(path), error=str(error) or type(error).__name__)
    key = PlanKey.generate()
    try:
        write_atomically(path, f"{key.private_bytes().hex()}\n")
    except OSError as error:
        DISK_WRITES_FAILED.inc()
        log.warning("plan_key_not_saved", file=str(path), error=error.strerror)
    return key


def resolved(plan: NodePlan, key: PlanKey) -> Mapping[KernelId, KernelSpec]:
    """Return the complete KernelSpec of each kernel of a plan, decrypted where it is encrypted. Raises PlanUnreadableError."""
    if plan.encrypted_specs is None:
        return plan.resolved()
    data = key.decrypt(plan.encrypted_specs, agent_id=plan.agent_id, generation=plan.generation)
    try:
        return plan.resolved(_SPECS.validate_json(data))
    except (ValidationError, KeyError):  # their words would repeat the content
        raise PlanUnreadableError(
            f"what is encrypted in its plan of generation {plan.generation} is malformed"
        ) from None
