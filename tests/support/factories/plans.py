"""Plans as managers publish them."""

from __future__ import annotations

from headrace.common.bus.plan_encryption import PlanKey, encrypt, recipient
from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.plans import KernelSpec, NodePlan, PlannedKernel, ReplicaSpec


def encrypted_plan(
    generation: int, key: PlanKey, *specs: KernelSpec, agent_id: str = "agent-1", inside: bytes | None = None
) -> NodePlan:
    """Return the plan of an agent with this key, as it comes over the bus. `inside`: what is encrypted, instead of the specs."""
    plan = NodePlan(
        agent_id=AgentId(agent_id),
        generation=generation,
        specs={str(spec.kernel_id): ReplicaSpec.model_validate(dict(spec)) for spec in specs},
        kernels=tuple(PlannedKernel.model_validate({**dict(spec), "spec": str(spec.kernel_id)}) for spec in specs),
    )
    data = inside or plan.model_dump_json(include={"specs"}).removeprefix('{"specs":').removesuffix("}").encode()
    text = encrypt(data, recipient(key.public), agent_id=plan.agent_id, generation=generation)
    return NodePlan.decode(plan.model_copy(update={"specs": {}, "encrypted_specs": text}).encode())
