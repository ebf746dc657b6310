"""`headrace systemd`: the services of an installation as units of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from headrace.cli.command import Commands, command
from headrace.cli.errors import CliError
from headrace.cli.session import Session
from headrace.install.errors import InstallError
from headrace.install.systemd.install import Step, Steps, ThisMachine, install_steps, perform, uninstall_steps
from headrace.install.systemd.units import ServiceName

Services = Annotated[
    list[ServiceName] | None,
    typer.Option(
        "--service",
        metavar="SERVICE",
        help="Service that is meant: manager, appproxy, autoscaler or agent; may be repeated. Default: all.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the steps, and take none.")]


class Taken(BaseModel):
    """Output of `headrace systemd … --json`."""

    units: tuple[str, ...]
    steps: tuple[str, ...]
    done: bool
    """False: a dry run."""
    notes: tuple[str, ...]


def register(app: Commands) -> None:
    """Add the commands."""
    command(app, "install")(install)
    command(app, "uninstall")(uninstall)


def install(
    session: Session,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `headrace init --layout host` made.")],
    service: Services = None,
    agent: Annotated[
        str, typer.Option("--agent", metavar="NAME", help="Agent of this machine. Default: the one at loopback.")
    ] = "",
    appproxy: Annotated[
        str, typer.Option("--appproxy", metavar="NAME", help="App-proxy of this machine. Default: the only one.")
    ] = "",
    autoscaler: Annotated[
        str, typer.Option("--autoscaler", metavar="NAME", help="Autoscaler of this machine. Default: the only one.")
    ] = "",
    now: Annotated[bool, typer.Option("--now", help="Start them too, and restart those whose unit changed.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Install and enable units of the services whose files are in DIR; again: only what changed."""
    host = ThisMachine()
    given = {ServiceName.AGENT: agent, ServiceName.APPPROXY: appproxy, ServiceName.AUTOSCALER: autoscaler}
    names = {one: name for one, name in given.items() if name}
    try:
        steps = install_steps(
            folder.absolute(), host, python=Path(sys.executable), services=service or (), names=names, now=now
        )
        _take(session, steps, host, dry_run=dry_run)
    except InstallError as error:
        raise CliError(str(error)) from None


def uninstall(
    session: Session,
    service: Services = None,
    delete_data: Annotated[
        bool,
        typer.Option("--delete-data", help="Delete their data too: model folders, what agents and app-proxies know."),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Stop the services and remove their units; data stays, and so do replicas that run."""
    host = ThisMachine()
    try:
        _take(session, uninstall_steps(host, services=service or (), delete_data=delete_data), host, dry_run=dry_run)
    except InstallError as error:
        raise CliError(str(error)) from None


def _take(session: Session, found: Steps, host: ThisMachine, *, dry_run: bool) -> None:
    output = session.output

    def told(step: Step) -> None:
        if not output.as_json:
            output.line(f"would {step.text}" if dry_run else step.text)

    if dry_run:
        for step in found.steps:
            told(step)
    elif found.steps:
        perform(found.steps, host, told)
    if output.as_json:
        texts = tuple(step.text for step in found.steps)
        output.record(Taken(units=found.units, steps=texts, done=not dry_run, notes=found.notes))
        return
    if not found.steps:
        output.line(f"nothing to do: {', '.join(found.units) or 'no unit of Headrace'} installed")
    for note in found.notes:
        output.note(note)
