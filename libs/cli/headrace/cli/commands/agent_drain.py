"""`headrace agent drain`: starts a drain, shows its progress, and what it cost callers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from headrace.cli.command import Commands, commands
from headrace.cli.commands.service.receipts import counts_text
from headrace.cli.commands.suggestions import complete_agent
from headrace.cli.errors import CliError, ExitCode
from headrace.cli.session import Session
from headrace.common.contracts.http.agent_drains import AgentDrainView
from headrace.common.text.counting import count
from headrace.sdk import WaitFailedError, WaitTimeoutError


def register(app: Commands) -> None:
    """Add the command."""
    commands(app, {"drain": drain})


def drain(
    session: Session,
    agent: Annotated[
        str, typer.Argument(metavar="AGENT", help="Id; see: headrace agent ls.", autocompletion=complete_agent)
    ],
    message: Annotated[
        str, typer.Option("--message", "-m", help="Why; those whose replicas wait see it, and the history.")
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until nothing runs there, and show progress.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, help="Longest wait.")] = 3600,
) -> None:
    """Cordon an agent's machine and move its replicas elsewhere: another one starts, serves, and then one here drains.

    Services move one after the other. `agent uncordon` cancels it; `agent show` tells how far it is.
    """
    found = session.client.agents.drain(agent, message=message)
    if wait:
        found = _wait(session, agent, timeout)
    lines = drain_lines(found)
    session.output.facts(found, (("agent", found.agent), ("drain", found.status), *lines))


def drain_lines(drain: AgentDrainView) -> tuple[tuple[str, str], ...]:
    """Return what is still there and why, and what the drain cost callers, as facts."""
    services = [
        (one.name, f"{count(one.replicas + one.leaving, 'replica')} there: {one.reason.text}") for one in drain.services
    ]
    rest = [("waits for", drain.reason.text)] if drain.reason is not None else []
    receipt = drain.receipt
    cost = (
        counts_text(receipt, f"{count(receipt.replicas, 'replica')} that left")
        if receipt.replicas
        else ("no replica has left yet" if drain.ended_at is None else "no replica was there to leave")
    )
    late = f"; {', '.join(receipt.waiting_for)} has not told all" if receipt.waiting_for else ""
    return (*services, *rest, ("receipt", f"{cost}{late}"))


def _wait(session: Session, agent: str, timeout_s: float) -> AgentDrainView:
    """Wait until the drain is over. Raises CliError (exit code 5) with what it waits for, per service."""
    failure: WaitFailedError | WaitTimeoutError
    try:
        with session.output.live() as show:
            return session.client.agents.wait_drained(agent, timeout_s=timeout_s, progress=_progress(show))
    except (WaitFailedError, WaitTimeoutError) as error:
        failure = error
    raise CliError(str(failure), ExitCode.WAITED, hint=f"headrace agent show {agent}") from failure


def _progress(show: Callable[[list[str]], None]) -> Callable[[AgentDrainView], None]:
    def told(drain: AgentDrainView) -> None:
        show([f"{name}: {text}" for name, text in drain_lines(drain)[:-1]] or [f"{drain.agent}: {drain.status}"])

    return told
