"""`headrace agent move`: another resource group for a machine."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Commands, changing, command
from headrace.cli.commands.flags import Yes, confirmed
from headrace.cli.commands.suggestions import complete_agent, complete_group
from headrace.cli.session import Session
from headrace.common.contracts.http.agents import AgentDetail, UpdateAgent
from headrace.common.text.counting import count


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "move")(move)


@changing
def move(
    session: Session,
    agent: Annotated[
        str, typer.Argument(metavar="AGENT", help="Id; see: headrace agent ls.", autocompletion=complete_agent)
    ],
    group: Annotated[str, typer.Argument(metavar="GROUP", help="Resource group.", autocompletion=complete_group)],
    drain: Annotated[
        bool,
        typer.Option("--drain", help="Drain the machine, too: what runs there moves elsewhere, one after the other."),
    ] = False,
    yes: Yes = False,
) -> None:
    """Move a machine to another resource group. What runs there goes on, unless it is drained."""
    found = session.client.agents.get(agent)
    if (running := _running(found)) and found.resource_group != group:
        confirmed(f"move {agent} from {found.resource_group} to {group}? {_effect(running, drain=drain)}", yes=yes)
    moved = session.client.agents.update(agent, UpdateAgent(resource_group=group))
    if drain:
        session.client.agents.drain(agent, message=f"moved to resource group {group}")
        session.output.note(
            f"what it waits for: headrace agent show {agent}; afterwards: headrace agent uncordon {agent}"
        )
    session.output.facts(
        moved, (("agent", moved.id), ("resource group", moved.resource_group), ("runs", _running(moved)))
    )


def _running(agent: AgentDetail) -> int:
    return sum(kernel.state in {"preparing", "running"} for kernel in agent.kernels)


def _effect(running: int, *, drain: bool) -> str:
    there = f"{count(running, 'replica')} there"
    if drain:
        return f"{there} will move elsewhere, and nothing new is placed there until it is uncordoned"
    return f"{there} will go on; what starts from now on is of services in the new group"
