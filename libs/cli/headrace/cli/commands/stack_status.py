"""Output of `headrace status`: the local stack's processes, or a server's state, with agents, services and hints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import typer
from pydantic import BaseModel, ConfigDict

from headrace.cli.commands.agent import AGENT_COLUMNS, shortages
from headrace.cli.commands.installation_status import PART_COLUMNS, machines_line, shown_parts
from headrace.cli.commands.service.listing import SERVICE_COLUMNS
from headrace.cli.commands.stack_exposure import open_to_others
from headrace.cli.errors import CliError, ExitCode
from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.cli.text import cell
from headrace.common.contracts.http.agents import AgentView
from headrace.common.contracts.http.services import ServiceView
from headrace.common.contracts.http.status import InstallationStatus
from headrace.embedded.state import Phase, ProcessState, StackState
from headrace.sdk.errors import ApiError, HeadraceError

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")
_SHOWN_SERVICES = 20


class StatusView(BaseModel):
    """Output of `headrace status --json`."""

    model_config = ConfigDict(frozen=True)
    status: Literal["up", "starting", "stopping", "degraded", "down", "unknown"]
    """`unknown`: it is not told to who is not logged in."""
    url: str | None = None
    data: Path | None = None
    """Data folder of a local stack."""
    stack: StackState | None = None
    installation: InstallationStatus | None = None
    """Its parts, for operators. None: not allowed, not reached, or the server is of a version that does not tell."""
    agents: tuple[AgentView, ...] = ()
    services: tuple[ServiceView, ...] = ()
    hints: tuple[str, ...] = ()


def show_status(session: Session, folder: Path, state: StackState | None, *, remote: bool) -> None:
    """Print the status. Exits 0 if everything is up, else with the exit code of the missing part."""
    session.patient = False
    view, error = _server(session) if remote else _local(session, folder, state)
    if session.output.as_json:
        session.output.record(view)
    else:
        _print(session, view, folder)
    if error is not None:
        raise error
    if view.status == "down":
        raise typer.Exit(ExitCode.UNREACHABLE)
    if view.status == "degraded":
        raise typer.Exit(ExitCode.FAILED)


def _server(session: Session) -> tuple[StatusView, Exception | None]:
    try:
        target = session.config.target(url=session.url, data=session.data)
    except CliError as error:
        if error.code is ExitCode.DENIED:
            return StatusView(status="unknown", url=session.url), error
        return StatusView(status="down", hints=(str(error), error.hint)), None
    try:
        seen = _seen(session)
    except HeadraceError as error:
        answer = error.status if isinstance(error, ApiError) else None
        if answer in {401, 403}:
            return StatusView(status="unknown", url=target.url), error
        degraded = answer is not None and answer >= 500
        return StatusView(status="degraded" if degraded else "down", url=target.url, hints=(str(error),)), error
    view = StatusView(
        status="degraded" if seen.impaired else "up",
        url=target.url,
        installation=seen.installation,
        agents=seen.agents,
        services=seen.services,
        hints=(f"logged in by {target.origin}", *seen.hints()),
    )
    return view, None


def _local(session: Session, folder: Path, state: StackState | None) -> tuple[StatusView, Exception | None]:
    if state is None:
        return StatusView(status="down", data=folder, hints=(f"start it: headrace up --data {folder}",)), None
    missing = [f"{p.name} is being restarted; its log: {p.log}" for p in state.processes if p.pid is None]
    seen = _Seen()
    if state.phase is Phase.RUNNING:
        session.data = state.data
        try:
            seen = _seen(session)
        except (HeadraceError, CliError) as error:
            refuses = isinstance(error, ApiError) and error.status >= 500
            missing.append(str(error) if refuses else f"the API does not answer: {error}")
    words: dict[Phase, Literal["starting", "stopping", "up", "degraded"]] = {
        Phase.STARTING: "starting",
        Phase.STOPPING: "stopping",
        Phase.RUNNING: "degraded" if missing or seen.impaired else "up",
    }
    view = StatusView(
        status=words[state.phase],
        url=state.api_url,
        data=state.data,
        stack=state,
        installation=seen.installation,
        agents=seen.agents,
        services=seen.services,
        hints=(*missing, *filter(None, [open_to_others(state.runtime, state.listen_host)]), *seen.hints()),
    )
    return view, None


@dataclass(frozen=True)
class _Seen:
    """What the API tells: of the installation, where it is told, and of agents and services."""

    installation: InstallationStatus | None = None
    agents: tuple[AgentView, ...] = ()
    services: tuple[ServiceView, ...] = ()

    @property
    def impaired(self) -> bool:
        """True if a part does not work as it should."""
        if self.installation is not None:
            return self.installation.status == "degraded"
        return any(_impaired(agent) for agent in self.agents)

    def hints(self) -> list[str]:
        """Return what an operator should know beside the tables."""
        if self.installation is None:
            return hints_of(self.agents, self.services)
        whole = [reason.text for reason in self.installation.reasons]
        return [*whole, *_shared(self.agents, self.services), *hints_of((), self.services)]


def _seen(session: Session) -> _Seen:
    installation = _if_operator(session.client.status)  # first: without the database it says most
    services = tuple(session.client.services.list())
    agents = _if_operator(lambda: tuple(session.client.agents.list()))
    return _Seen(installation, agents or (), services)


def _if_operator(ask: Callable[[], T]) -> T | None:
    """Return the answer; None for who is no operator, or where a server of an older version does not tell."""
    try:
        return ask()
    except ApiError as error:
        if error.status in {403, 404}:
            return None
        raise


def _shared(agents: Sequence[AgentView], services: Sequence[ServiceView]) -> list[str]:
    """Return a hint if several projects share machines that do not isolate their containers."""
    bare = [agent.id for agent in agents if agent.isolation is not None and agent.isolation.level == "none"]
    projects = {service.project for service in services}
    if not bare or len(projects) < 2:
        return []
    where = ", ".join(bare[:5]) + (" …" if len(bare) > 5 else "")
    text = f"nothing keeps the {len(projects)} projects apart on {where}: a replica there may read the others' secrets"
    return [f"{text}; docs/isolation.md says what does"]


def hints_of(agents: Sequence[AgentView], services: Sequence[ServiceView]) -> list[str]:
    """Return hints for an operator: machines that are lost, full or without isolation, and failed services."""
    hints = [_lost(agent) for agent in agents if agent.status == "lost"]
    hints += _shared(agents, services)
    hints += [_disk_low(agent) for agent in agents if shortages(agent)]
    hints += [_misplaced(agent) for agent in agents if agent.address_problem]
    hints += [f"service {s.name}: {s.reason.text}" for s in services if s.phase == "failed"]
    return hints


def _impaired(agent: AgentView) -> bool:
    return agent.status == "lost" or bool(shortages(agent) or agent.address_problem)


def _lost(agent: AgentView) -> str:
    return f"agent {agent.id} was last heard of {cell(agent.last_seen_at)}"


def _disk_low(agent: AgentView) -> str:
    return f"agent {agent.id} has little room; {'; '.join(shortages(agent))}"


def _misplaced(agent: AgentView) -> str:
    return f"agent {agent.id} is not where it may be; {agent.address_problem}"


def _print(session: Session, view: StatusView, folder: Path) -> None:
    output = session.output
    where = f"on {view.data}" if view.data is not None else f"at {view.url}" if view.url else ""
    if where:
        known = view.status != "unknown"
        words = f"is {view.status}" if known else "tells its status to nobody who is not logged in"
        output.line(f"Headrace {where} {words}")
    else:
        output.line("No server is named, and none runs here; start one: headrace up")
    if view.stack is not None:
        output.line(
            f"API {view.stack.api_url}, endpoints {view.stack.proxy_url}, since {cell(view.stack.started_at)}, runtime {view.stack.runtime}"
        )
        _section(session, view.stack.processes, _process_columns(folder))
        if any(process.admin_url for process in view.stack.processes):
            output.line("at ADMIN: /readyz (whether it can serve, and what fails) and /metrics (Prometheus)")
    if view.installation is None:
        _section(session, view.agents, AGENT_COLUMNS)
    else:
        _section(session, shown_parts(view.installation), PART_COLUMNS)
        if (counted := machines_line(view.installation)) is not None:
            output.line(counted)
    _section(session, view.services[:_SHOWN_SERVICES], SERVICE_COLUMNS)
    if len(view.services) > _SHOWN_SERVICES:
        by_status = Counter(service.status for service in view.services)
        output.line(
            f"{len(view.services)} services in all: " + ", ".join(f"{n} {status}" for status, n in by_status.items())
        )
    for hint in view.hints:
        output.line(f"hint: {cell(hint)}")


def _section(session: Session, items: Iterable[M], columns: Columns[M]) -> None:
    found = list(items)
    if found:
        session.output.line("")
        session.output.table(found, columns, empty="")


def _process_columns(folder: Path) -> Columns[ProcessState]:
    def short(path: Path) -> str:
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)

    return (
        ("PART", lambda p: p.name),
        ("STATE", lambda p: "up" if p.pid is not None else "restarting"),
        ("PID", lambda p: p.pid),
        ("ADDRESS", lambda p: f"127.0.0.1:{p.port}"),
        ("ADMIN", lambda p: p.admin_url),
        ("RESTARTS", lambda p: p.restarts),
        ("LOG", lambda p: short(p.log)),
    )
