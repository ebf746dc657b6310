"""`headrace secret …`: secrets of a project, which services refer to by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Project, Yes, confirmed
from headrace.cli.commands.of_project import project_of
from headrace.cli.commands.suggestions import complete_secret
from headrace.cli.errors import CliError
from headrace.cli.output import Columns, interactive
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.common.contracts.http.secrets import SecretVersionView, SecretView
from headrace.common.contracts.secret import MAX_VALUE_BYTES, checked_value
from headrace.common.contracts.wording import Refused

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or id of the secret.", autocompletion=complete_secret)]
_STANDARD_INPUT: Final = Path("-")
_LONGEST: Final = MAX_VALUE_BYTES + 2
"""Bytes that are read: more is refused, whatever its last line break."""


def _users(version: SecretVersionView) -> str:
    trials = [f"{version.trial_runs} trial run{'' if version.trial_runs == 1 else 's'}"] if version.trial_runs else []
    services = (f"{name} (pinned)" if name in version.pinned else name for name in version.services)
    return ", ".join([*services, *trials]) or "-"


_COLUMNS: Columns[SecretView] = (
    ("NAME", lambda s: s.name),
    ("VERSION", lambda s: s.version),
    ("UPDATED", lambda s: s.updated_at),
    ("BY", lambda s: s.updated_by),
    ("ID", lambda s: s.id),
)
_VERSIONS: Columns[SecretVersionView] = (
    ("VERSION", lambda v: v.version),
    ("CREATED", lambda v: v.created_at),
    ("BY", lambda v: v.created_by),
    ("USED BY", _users),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"set": set_value, "ls": ls, "show": show, "rm": rm})


@changing
def set_value(
    session: Session,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Of a new secret, or of one that gets a new version.", autocompletion=complete_secret
        ),
    ],
    project: Project = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", "-f", metavar="FILE", help="File with the value; without it: standard input, or a question."
        ),
    ] = None,
) -> None:
    """Store a secret, or a new version of one (owners). The value comes from a file, standard input, or a hidden question.

    The line break at the end of a single line is not part of it. Services go on with the version that they have: headrace
    service update --refresh-secrets rolls the newest one out.
    """
    of = project_of(session, project)
    value = _value(name, file)
    stored = session.client.secrets.put(of, name, value)
    session.output.facts(
        stored, (("name", stored.name), ("version", stored.version), ("updated", stored.updated_at), ("id", stored.id))
    )
    if session.output.as_json or stored.version == 1:
        return
    older = {
        service: version.version
        for version in session.client.secrets.get(of, name).versions
        if version.version != stored.version
        for service in version.services
        if service not in version.pinned
    }
    for service, version in sorted(older.items()):
        session.output.note(f"{service} has version {version}: headrace service update {service} --refresh-secrets")


def ls(session: Session, project: Project = None) -> None:
    """List the secrets of a project, without their values."""
    session.output.table(session.client.secrets.list(project_of(session, project)), _COLUMNS, empty="no secrets")


def show(session: Session, name: Name, project: Project = None) -> None:
    """Show a secret's versions and which services use them; never its value."""
    found = session.client.secrets.get(project_of(session, project), name)
    if session.output.as_json:
        session.output.record(found)
        return
    session.output.facts(
        found,
        (
            ("name", found.name),
            ("id", found.id),
            ("created", found.created_at),
            ("created by", found.created_by),
            ("newest version", found.version),
        ),
    )
    session.output.table(found.versions, _VERSIONS, empty="no versions")


@changing
def rm(session: Session, name: Name, project: Project = None, yes: Yes = False) -> None:
    """Delete a secret with all its versions (owners). Refused while services use it."""
    of = project_of(session, project)
    confirmed(f"delete the secret {name} of {of}, with all its versions?", yes=yes)
    session.client.secrets.delete(of, name)
    session.output.done(f"deleted the secret {name} of {of}", deleted=name, project=of)


def _value(name: str, file: Path | None) -> str:
    """Return the value of a secret. Raises CliError, without it."""
    if file is None and interactive(sys.stdin, sys.stderr):
        value: str = typer.prompt(f"value of {name}", hide_input=True, err=True)
    else:
        value = _read(file or _STANDARD_INPUT)
    single = value.removesuffix("\n").removesuffix("\r")
    try:
        return checked_value(value if "\n" in single else single)
    except Refused as refused:
        raise usage(f"the value of {name}: found {refused.found}; allowed: {refused.allowed}") from None


def _read(file: Path) -> str:
    where = "standard input" if file == _STANDARD_INPUT else str(file)
    try:
        if file == _STANDARD_INPUT:
            content = sys.stdin.buffer.read(_LONGEST + 1)
        else:
            with file.open("rb") as opened:
                content = opened.read(_LONGEST + 1)
    except OSError as error:
        raise CliError(f"{where} cannot be read: {error.strerror or error}") from None
    if len(content) > _LONGEST:
        raise usage(f"{where}: found more than {MAX_VALUE_BYTES} bytes; allowed: 1 to {MAX_VALUE_BYTES}")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise usage(
            f"{where}: found bytes that are no UTF-8; allowed: text; encode them, for example as base64"
        ) from None
