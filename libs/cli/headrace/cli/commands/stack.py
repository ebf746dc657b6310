"""`up`, `down`, `status`: the embedded stack on this machine."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.cli.command import Commands, command
from headrace.cli.commands.stack_console import print_link, print_link_later
from headrace.cli.commands.stack_exposure import open_to_others
from headrace.cli.config import default_data
from headrace.cli.errors import CliError, ExitCode
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.common.runtime.lean import load_lean
from headrace.embedded.state import StackState, read_state

if TYPE_CHECKING:
    from headrace.embedded.services import UpOptions

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="FOLDER", help="Data folder (default: $HEADRACE_DATA, then ~/.local/share/headrace)."
    ),
]


class Runtime(StrEnum):
    """How agents of the local stack run kernels."""

    PROCESS = "process"
    DOCKER = "docker"


def register(app: Commands) -> None:
    """Add the commands."""
    command(app, "up")(up)
    command(app, "down")(down)
    command(app, "status")(status)


def up(
    session: Session,
    data: Data = None,
    runtime: Annotated[Runtime, typer.Option("--runtime", help="How replicas run.")] = Runtime.PROCESS,
    simulate_gpus: Annotated[
        int,
        typer.Option("--simulate-gpus", metavar="N", min=0, max=64, help="Simulated GPUs per agent; 0: the real ones."),
    ] = 0,
    agents: Annotated[int, typer.Option("--agents", metavar="N", min=1, max=12, help="Number of agents.")] = 1,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", min=1, max=65535, help="Port of the API. Without it: 8080, or another one if that is taken."
        ),
    ] = None,
    proxy_port: Annotated[
        int | None,
        typer.Option(
            "--proxy-port",
            min=1,
            max=65535,
            help="Port of the endpoints. Without it: 8000, or another one if that is taken.",
        ),
    ] = None,
    listen_host: Annotated[
        str,
        typer.Option("--listen-host", metavar="ADDRESS", help="Where API and endpoints listen; 0.0.0.0: everywhere."),
    ] = "127.0.0.1",
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when it is ready; it runs until `headrace down`.")
    ] = False,
) -> None:
    """Start everything on this machine and run until Ctrl-C: servers, manager, agents, app-proxy, autoscaler."""
    load_lean()
    from headrace.embedded.services import UpOptions  # noqa: PLC0415 - the supervisor's imports are needed by `up` only
    from headrace.embedded.supervisor import Stage, run  # noqa: PLC0415

    folder = _data(session, data)
    try:
        options = UpOptions(
            data=folder,
            runtime=runtime.value,
            simulate_gpus=simulate_gpus,
            agents=agents,
            api_port=port,
            proxy_port=proxy_port,
            listen_host=listen_host,
        )
    except ValueError as error:
        raise usage(str(error)) from None
    warning = open_to_others(runtime.value, listen_host)
    if warning is not None:
        session.output.note(f"warning: {warning}")
    if detach:
        _detached(session, options)
        return
    _log_to_file(folder)

    def tell(stage: str, detail: str) -> None:
        output = session.output
        state = read_state(folder) if stage == Stage.READY else None
        if output.as_json:
            output.record(
                {"stage": str(stage), "detail": detail} | ({"stack": state.model_dump(mode="json")} if state else {})
            )
        elif state is not None:
            _welcome(session, state)
            print_link_later(state.data, output.line)
        else:
            output.line(f"  {detail}")
        if state is not None:
            session.config.stacks.remember(state.data)

    session.output.line(f"Headrace on {folder} (Ctrl-C stops it)")
    asyncio.run(run(options, tell))


def _detached(session: Session, options: UpOptions) -> None:
    from headrace.cli.commands.stack_detached import start_detached  # noqa: PLC0415

    arguments = {
        "--data": options.data,
        "--runtime": options.runtime,
        "--simulate-gpus": options.simulate_gpus,
        "--agents": options.agents,
        "--port": options.api_port,
        "--proxy-port": options.proxy_port,
        "--listen-host": options.listen_host,
    }
    words = [word for name, value in arguments.items() if value is not None for word in (name, str(value))]
    session.output.line(f"Headrace on {options.data} (`headrace down` stops it)")
    start_detached(options.data, words, lambda detail: session.output.line(f"  {detail}"))
    state = read_state(options.data)
    if state is None:
        raise CliError(f"the stack on {options.data} has ended", ExitCode.UNREACHABLE)
    session.config.stacks.remember(state.data)
    if session.output.as_json:
        session.output.record(state)
    else:
        _welcome(session, state)
        print_link(state.data, session.output.line)


def down(
    session: Session,
    data: Data = None,
    timeout: Annotated[
        int, typer.Option("--timeout", metavar="SECONDS", min=1, help="Kill what has not stopped by then.")
    ] = 90,
) -> None:
    """Stop the stack that `up` started; its data stays."""
    from headrace.embedded.supervisor import StopResult, stop  # noqa: PLC0415

    folder = chosen_data(session, data)
    result = stop(folder, timeout)
    if result is StopResult.NOT_RUNNING:
        raise CliError(f"nothing runs on {folder}", ExitCode.UNREACHABLE)
    words = "stopped" if result is StopResult.STOPPED else f"did not stop within {timeout} s and was killed"
    session.output.done(f"{folder}: {words}; the data stays", data=str(folder), result=str(result))


def status(session: Session, data: Data = None) -> None:
    """Show each part of an installation or of the local stack, what is wrong with it and why. Exit status 1: degraded."""
    from headrace.cli.commands.stack_status import show_status  # noqa: PLC0415 - `up` stays for long, and needs none of it

    here = data is not None or session.data is not None
    named = not here and (session.url is not None or session.config.names_server())
    folder = _data(session, data) if named else chosen_data(session, data)
    state = None if named else read_state(folder)
    show_status(session, folder, state, remote=named or (state is None and not here))


def _data(session: Session, data: Path | None) -> Path:
    return (data or session.data or default_data(session.config.environ)).expanduser().absolute()


def chosen_data(session: Session, data: Path | None) -> Path:
    """Return the chosen data folder; by default that of the one running stack."""
    wanted = _data(session, data)
    if data is not None or session.data is not None or "HEADRACE_DATA" in session.config.environ:
        return wanted
    running = session.config.stacks.running()
    if len(running) > 1 and all(state.data != wanted for state in running):
        folders = ", ".join(str(state.data) for state in running)
        raise CliError(f"several stacks run here: {folders}", ExitCode.USAGE, hint="say which: --data FOLDER")
    if running and all(state.data != wanted for state in running):
        return running[0].data
    return wanted


def _log_to_file(folder: Path) -> None:
    """Send the supervisor's own log to a file: the terminal shows progress."""
    from headrace.cli.logfile import supervisor_log  # noqa: PLC0415

    supervisor_log(folder / "logs" / "up.log")


def _welcome(session: Session, state: StackState) -> None:
    line = session.output.line
    line("")
    line("Headrace is running.")
    line(f"  API        {state.api_url}  (its description: {state.api_url}/v1/openapi.json)")
    line(f"  endpoints  {state.proxy_url}/<service>/")
    line(f"  logs       {state.data / 'logs'}")
    line(f"  login      on this machine: not needed. From elsewhere: headrace login --url {state.api_url}")
    line(f"             with the key in {state.admin_key_file}")
    line("  next       headrace status; headrace folder create NAME; headrace service create --help")
