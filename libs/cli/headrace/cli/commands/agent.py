"""`headrace agent …`: machines, for operators."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Commands, command
from headrace.cli.output import Columns
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.cli.text import cell, size, slots
from headrace.common.contracts.http.agents import AgentDetail, AgentView, UpdateAgent
from headrace.common.contracts.messages.reports import Disk

AGENT_COLUMNS: Columns[AgentView] = (
    ("AGENT", lambda a: a.id),
    ("STATUS", lambda a: a.status),
    ("GROUP", lambda a: a.resource_group),
    ("RUNTIME", lambda a: a.runtime),
    ("ALLOCATED", lambda a: slots(a.allocated)),
    ("OF", lambda a: slots(a.slots)),
)


def shortages(agent: AgentView) -> list[str]:
    """Return the machine's disks with too little room for new replicas, with the numbers."""
    disks = (("disk", agent.disk), ("container engine's disk", agent.engine_disk))
    return [f"{name}: {disk(found)}" for name, found in disks if found is not None and not found.has_room]


def disk(found: Disk | None) -> str:
    """Return the free room on a disk, and whether replicas can start."""
    if found is None:
        return "-"
    words = f"{size(found.free_bytes)} of {size(found.total_bytes)}"
    if found.has_room:
        return words
    return f"{words}; it starts no replicas before {size(found.reserve_bytes)} are free"


Agent = Annotated[str, typer.Argument(metavar="AGENT", help="Id; see: headrace agent ls.")]


def register(app: Commands) -> None:
    """Add the commands."""
    command(app, "ls")(ls)
    command(app, "show")(show)
    command(app, "address")(address)


def ls(session: Session) -> None:
    """List the agents."""
    session.output.table(session.client.agents.list(), AGENT_COLUMNS, empty="no agents")


def show(session: Session, agent: Agent) -> None:
    """Show an agent with its GPUs and kernels."""
    found = session.client.agents.get(agent)
    session.output.facts(
        found,
        (
            ("agent", found.id),
            ("status", found.status),
            ("last heard of", found.last_seen_at),
            ("resource group", found.resource_group),
            ("machine", f"{found.hostname} ({found.architecture}) at {found.address}"),
            *_allowed(found),
            ("runtime", found.runtime),
            ("version", found.version),
            ("isolation", found.isolation.text if found.isolation else "its agent does not tell"),
            ("allocated", slots(found.allocated)),
            ("of", slots(found.slots)),
            ("free disk", disk(found.disk)),
            *((("of the container engine", disk(found.engine_disk)),) if found.engine_disk else ()),
            ("plan", f"generation {found.applied_generation} of {found.plan_generation} applied"),
            *((("plan is stuck", found.plan_problem),) if found.plan_problem else ()),
        ),
    )
    _parts(session, found)


def address(
    session: Session,
    agent: Agent,
    addresses: Annotated[
        list[str] | None,
        typer.Argument(metavar="ADDRESS", help="IP addresses or names; they replace those before."),
    ] = None,
    unset: Annotated[
        bool, typer.Option("--unset", help="Instead of addresses: the next one that it reports, as for a new agent.")
    ] = False,
) -> None:
    """Set the addresses at which an agent's replicas may be.

    Without this it is the first one that the agent reported; replicas at another address get no requests.
    """
    if bool(addresses) == unset:
        raise usage(f"found {'both' if unset else 'nothing to change'}; allowed: addresses, or --unset")
    found = session.client.agents.update(agent, UpdateAgent.model_validate({"addresses": addresses or None}))
    session.output.facts(found, (("agent", found.id), *_allowed(found)))


def _allowed(agent: AgentView) -> tuple[tuple[str, str], ...]:
    """Return the allowed addresses of the agent's replicas, and why they get no requests at the reported one."""
    named = ", ".join(agent.addresses) if agent.addresses else "the next one that it reports"
    refused = (("address is refused", agent.address_problem),) if agent.address_problem else ()
    return (("allowed addresses", named), *refused)


def _parts(session: Session, agent: AgentDetail) -> None:
    line = session.output.line
    for gpu in agent.gpus:
        model = f"{gpu.model}, simulated" if gpu.simulated else gpu.model
        memory = f"{size(gpu.memory_used_bytes)} of {size(gpu.memory_bytes)}"
        line(cell(f"gpu {gpu.index}  {model}  {memory}  {gpu.utilization_percent:g} %  {gpu.gpu_id}"))
    for kernel in agent.kernels:
        where = f"{kernel.host}:{kernel.port}" if kernel.host and kernel.port else "no address"
        line(cell(f"kernel {kernel.kernel_id}  {kernel.state}  {kernel.health}  {where}"))
        line(cell(f"  {kernel.reason.text}"))
