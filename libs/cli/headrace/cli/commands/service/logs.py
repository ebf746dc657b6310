"""`headrace service logs|validate`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from threading import Event, Thread
from typing import Annotated
from uuid import UUID

import typer

from headrace.cli.command import Commands, changing, command
from headrace.cli.commands.flags import Project, Service, Timeout
from headrace.cli.commands.service.spec_flags import SpecFlags, overlaid
from headrace.cli.commands.suggestions import complete_group, complete_replica
from headrace.cli.errors import ExitCode
from headrace.cli.output import Output
from headrace.cli.parsing import document
from headrace.cli.session import Session
from headrace.cli.text import size
from headrace.common.contracts.http.validations import StartValidation, ValidationView
from headrace.common.text.counting import count
from headrace.sdk import HeadraceError

_STOP_S = 3.0
"""How long stopping a trial run waits for a manager that restarts."""
LOG_END_S = 5.0
"""How long the log may continue after the program has ended."""

_LINE = re.compile(
    r"^(?:(?P<replica>[0-9a-f]{8}-[0-9a-f-]{27}) )?(?P<at>\d{4}-\d\d-\d\dT\S+) ?(?P<text>.*)$", re.DOTALL
)


def register(app: Commands) -> None:
    """Add the commands."""
    command(app, "logs")(logs)
    command(app, "validate")(validate)


def logs(
    session: Session,
    service: Service,
    replica: Annotated[
        UUID | None,
        typer.Option(
            "--replica", metavar="REPLICA", help="Without it: all, with their ids.", autocompletion=complete_replica
        ),
    ] = None,
    tail: Annotated[
        int,
        typer.Option("--tail", "-n", metavar="LINES", min=0, max=1_000_000, help="Lines per replica to begin with."),
    ] = 2000,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    download: Annotated[
        Path | None, typer.Option("--download", metavar="FILE", help="Write everything that is kept to a file.")
    ] = None,
) -> None:
    """Print the logs of a service's replicas, with UTC times.

    With --follow a lost connection is made again, for a minute at most, and the log is resumed.
    """
    if download is not None:
        _download(session, service, replica, download)
        return
    on_notice = session.output.note
    with session.client.services.logs(service, replica=replica, tail=tail, follow=follow, on_notice=on_notice) as lines:
        _print(session, lines)


@changing
def validate(
    session: Session,
    spec: SpecFlags,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="FILE", help="Spec as YAML or JSON; flags win over it.")
    ] = None,
    project: Project = None,
    resource_group: Annotated[
        str | None,
        typer.Option(
            "--resource-group",
            help="Machines to use (default: the group of the project, else default).",
            autocompletion=complete_group,
        ),
    ] = None,
    timeout: Timeout = 600.0,
) -> None:
    """Run a spec once without creating a service: print its log, then the verdict. Exit code 5 if it fails."""
    more = {name: value for name, value in {"project": project, "resource_group": resource_group}.items() if value}
    asked = overlaid(document(file) if file else {}, {**spec.given(), **more})
    body = StartValidation.model_validate(session.with_project(asked))
    client = session.client
    run = client.validations.start(body)
    left = Event()
    log = Thread(target=_copy_log, args=(session, run, left), daemon=True)
    log.start()
    said = _ReasonPrinter(session.output)
    try:
        found = client.validations.wait(run.id, timeout_s=timeout, progress=said.see)
    except BaseException:
        _stop(session, run)  # nobody awaits it any more
        raise
    finally:
        log.join(LOG_END_S)
        left.set()
    session.output.facts(found, (("verdict", found.verdict), ("reason", f"{found.reason.text} ({found.reason.code})")))
    if found.verdict != "passed":
        raise typer.Exit(ExitCode.WAITED)


def _stop(session: Session, run: ValidationView) -> None:
    """Stop the trial run; a failure is only noted, because the error that ended the wait matters more."""
    try:
        session.client.validations.stop(run.id, patience_s=_STOP_S)
    except HeadraceError as error:
        session.output.note(f"the trial run {run.id} goes on, as it could not be stopped: {error}")


class _ReasonPrinter:
    """Prints reasons when they change."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._last = ""

    def see(self, seen: ValidationView) -> None:
        if seen.reason.text != self._last:
            self._last = seen.reason.text
            self._output.note(f"{seen.status}: {seen.reason.text}")


def _copy_log(session: Session, run: ValidationView, left: Event) -> None:
    """Print the trial's log on standard error until it ends. Prints nothing once the command has `left` it."""

    def note(words: str) -> None:
        if not left.is_set():
            session.output.note(words)

    try:
        with session.client.validations.logs(run.id, follow=True, on_notice=note) as lines:
            for line in lines:
                note(line)
    except HeadraceError as error:
        note(f"the log cannot be read: {error}")


def _download(session: Session, service: str, replica: UUID | None, to: Path) -> None:
    part = to.with_name(f".{to.name}.part")
    number = 0
    try:
        with (
            part.open("w", encoding="utf-8") as file,
            session.client.services.logs(service, replica=replica, everything=True) as lines,
        ):
            for line in lines:
                number += 1
                file.write(line + "\n")
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)
    session.output.done(f"{count(number, 'line')}, {size(to.stat().st_size)} in {to}", file=str(to), lines=number)


def _print(session: Session, lines: Iterable[str]) -> None:
    for line in lines:
        if session.output.as_json:
            found = _LINE.match(line)
            session.output.record(found.groupdict() if found else {"replica": None, "at": None, "text": line})
        else:
            session.output.raw(line)
