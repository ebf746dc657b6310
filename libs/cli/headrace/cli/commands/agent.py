"""`headrace agent …`: machines, for operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.agent_drain import drain_lines
from headrace.cli.commands.flags import Yes, confirmed
from headrace.cli.commands.suggestions import complete_agent
from headrace.cli.output import Columns
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.cli.text import cell, size, slots
from headrace.common.contracts.http.agents import AgentDetail, AgentView, RemovedAgent, UpdateAgent
from headrace.common.contracts.messages.reports import Disk


def _status(agent: AgentView) -> str:
    more = ", draining" if agent.draining else ", cordoned" if agent.cordon else ""
    return f"{agent.status}{more}"


def labels_text(labels: Mapping[str, str]) -> str:
    """Return labels as they are given on the command line."""
    return " ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "-"


AGENT_COLUMNS: Columns[AgentView] = (
    ("AGENT", lambda a: a.id),
    ("STATUS", _status),
    ("GROUP", lambda a: a.resource_group),
    ("RUNTIME", lambda a: a.runtime),
    ("ALLOCATED", lambda a: slots(a.allocated)),
    ("OF", lambda a: slots(a.slots)),
    ("LABELS", lambda a: labels_text(a.labels)),
)
_REMOVED: Columns[RemovedAgent] = (
    ("AGENT", lambda a: a.id),
    ("REMOVED", lambda a: a.removed_at),
    ("BY", lambda a: a.removed_by),
    ("WHY", lambda a: a.reason),
    ("LAST REFUSED", lambda a: a.refused_at or "-"),
)
_ENCRYPTED = "encrypted to a key of the machine"
_NOT_ENCRYPTED = "not encrypted: its agent's version reports no key"


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


Agent = Annotated[
    str, typer.Argument(metavar="AGENT", help="Id; see: headrace agent ls.", autocompletion=complete_agent)
]


def register(app: Commands) -> None:
    """Add the commands."""
    commands(
        app,
        {
            "ls": ls,
            "show": show,
            "address": address,
            "label": label,
            "cordon": cordon,
            "uncordon": uncordon,
            "remove": remove,
            "admit": admit,
        },
    )
    app.add("headrace.cli.commands.agent_drain")
    app.add("headrace.cli.commands.agent_join")
    app.add("headrace.cli.commands.agent_move")


def ls(
    session: Session,
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="KEY[=VALUE],...", help="Only those with these labels."),
    ] = None,
    removed: Annotated[
        bool, typer.Option("--removed", help="Those that were removed, and whether they still report.")
    ] = False,
) -> None:
    """List the agents."""
    if removed:
        if label is not None:
            raise usage("found --label and --removed; allowed: one of them (removed agents have no labels)")
        session.output.table(session.client.agents.removed(), _REMOVED, empty="no removed agents")
        return
    session.output.table(session.client.agents.list(label=label), AGENT_COLUMNS, empty="no agents")


def show(session: Session, agent: Agent) -> None:
    """Show an agent with its GPUs and kernels."""
    found = session.client.agents.get(agent)
    session.output.facts(
        found,
        (
            ("agent", found.id),
            ("status", _status(found)),
            *_cordoned(found),
            *(drain_lines(session.client.agents.drain_of(agent)) if found.draining else ()),
            ("labels", labels_text(found.labels)),
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
            ("plan on the bus", _ENCRYPTED if found.plan_encrypted else _NOT_ENCRYPTED),
            *((("plan is stuck", found.plan_problem),) if found.plan_problem else ()),
            *((f"check {name}", why) for name, why in sorted(found.checks.items())),
        ),
    )
    _parts(session, found)


@changing
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


@changing
def label(
    session: Session,
    agent: Agent,
    labels: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE|KEY-", help="Labels to set, and (with a hyphen) to take away.")
    ],
) -> None:
    """Set labels of an agent's machine, and take them away; others stay."""
    change: dict[str, str | None] = {}
    for word in labels:
        key, sign, value = word.partition("=")
        if not sign and not word.endswith("-"):
            raise usage(f"found {word}; allowed: KEY=VALUE to set a label, KEY- to take it away")
        change[key if sign else word[:-1]] = value if sign else None
    found = session.client.agents.label(agent, change)
    session.output.facts(found, (("agent", found.id), ("labels", labels_text(found.labels))))


def cordon(
    session: Session,
    agent: Agent,
    message: Annotated[
        str | None,
        typer.Option(
            "--message",
            "-m",
            help='Why; those whose replicas wait see it, and the history. Of a cordoned agent: without it as before, "" takes it away.',
        ),
    ] = None,
) -> None:
    """Place nothing new on an agent's machine; what runs there goes on."""
    found = session.client.agents.cordon(agent, reason=message)
    session.output.facts(found, (("agent", found.id), *_cordoned(found)))


@changing
def uncordon(session: Session, agent: Agent) -> None:
    """Place replicas on an agent's machine again; a drain that is under way is cancelled."""
    found = session.client.agents.uncordon(agent)
    session.output.facts(found, (("agent", found.id), ("status", found.status)))


def remove(
    session: Session,
    agent: Agent,
    force: Annotated[
        bool,
        typer.Option("--force", help="Although something ran there when it fell silent: it is replaced at once."),
    ] = False,
    message: Annotated[str, typer.Option("--message", "-m", help="Why, for its log and the history.")] = "",
    yes: Yes = False,
) -> None:
    """Remove an agent on which nothing runs: its reports are refused, and what it still runs it stops."""
    confirmed(f"Remove agent {agent}{' and end what ran there' if force else ''}?", yes=yes)
    session.client.agents.remove(agent, force=force, reason=message)
    session.output.note(f"{agent} is removed; should it come back: headrace agent admit {agent}")


@changing
def admit(session: Session, agent: Agent) -> None:
    """Accept reports of a removed agent again; it is a new one then."""
    session.client.agents.admit(agent)
    session.output.note(f"{agent} may report again")


def _cordoned(agent: AgentView) -> tuple[tuple[str, str], ...]:
    """Return who cordoned the agent, since when and why."""
    if agent.cordon is None:
        return ()
    by = f"by {agent.cordon.by} since {cell(agent.cordon.at)}"
    return (("cordoned", f"{by}: {agent.cordon.reason}" if agent.cordon.reason else by),)


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
