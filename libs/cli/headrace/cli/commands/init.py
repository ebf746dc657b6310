"""`headrace init`: the files of an installation on own servers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from headrace.cli.command import Commands, command
from headrace.cli.errors import CliError
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.install.errors import InstallError
from headrace.install.make import Made, bring_back, make, rotate, show
from headrace.install.plan import Choices, Layout
from headrace.install.rotation import authority_step, secrets_key_step


class InstalledFile(BaseModel):
    """One file, in the output of `headrace init --json`."""

    path: str
    what: str
    secret: bool
    found: str


class Installed(BaseModel):
    """Output of `headrace init --json`."""

    folder: Path
    ca_fingerprint: str
    """SHA-256 of the certificate of the authority that signs."""
    ca_rotation: str | None
    """How far a rotation of the authority is; None if none is under way."""
    secrets_key_rotation: str | None
    """The same of the key of secrets."""
    changed: bool
    files: tuple[InstalledFile, ...]
    steps: tuple[str, ...]
    notes: tuple[str, ...]


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "init")(init)


def init(
    session: Session,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of the files; new, empty, or made by this command.")
    ],
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="https://HOST[:PORT] of the API as callers see it.")
    ] = None,
    proxy_url: Annotated[
        str | None,
        typer.Option("--proxy-url", metavar="URL", help="Base URL of the endpoints. Default: http://HOST:8000."),
    ] = None,
    layout: Annotated[
        Layout | None, typer.Option("--layout", help="Where servers and services run. Default: compose.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="Further name or address of API and bus; may be repeated."),
    ] = None,
    database: Annotated[
        str | None, typer.Option("--database", metavar="HOST[:PORT]", help="PostgreSQL, as managers reach it.")
    ] = None,
    nats: Annotated[
        str | None,
        typer.Option(
            "--nats",
            metavar="HOST[:PORT][,…]",
            help="NATS, as the services reach it; of a cluster its three or five servers, separated by commas.",
        ),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(
            "--redis",
            metavar="HOST[:PORT]",
            help="Redis or Valkey, as the services reach it; by Sentinel: redis+sentinel://HOST[:PORT],…/NAME.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="FOLDER", help="Where they keep data. Default: /var/lib/headrace."),
    ] = None,
    agent: Annotated[
        list[str] | None,
        typer.Option("--agent", metavar="NAME[=ADDRESS]", help="Machine to make an identity for; may be repeated."),
    ] = None,
    list_files: Annotated[bool, typer.Option("--show", help="List each file and what it is; change nothing.")] = False,
    backup: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", help="Make the files of the installation in this backup, with its keys, and stop."
        ),
    ] = None,
    rotate_what: Annotated[
        str | None,
        typer.Option(
            "--rotate",
            metavar="WHAT",
            help="Replace one secret, and print the steps to take: database-password, redis-password, scrape-key, certificates, "
            "ca (then ca-issue, ca-finish), secrets-key (then secrets-key-use, secrets-key-finish), bus:NAME, bus-signing.",
        ),
    ] = None,
) -> None:
    """Make an installation's files: secrets, certificates, identities, configuration; again: mend what lacks."""
    choices = Choices(
        url=url,
        proxy_url=proxy_url,
        layout=layout,
        names=name or (),
        database=database,
        nats=nats,
        redis=redis,
        data=data_dir,
        agents=agent or (),
    )
    alone = sum((list_files, rotate_what is not None, backup is not None))
    if alone and (choices != Choices() or alone > 1):
        raise usage("--show, --rotate and --from stand alone")
    now = datetime.now(UTC)
    try:
        if list_files:
            _print(session, show(folder, now), everything=True)
        elif rotate_what is not None:
            _print(session, rotate(folder, rotate_what, now))
        elif backup is not None:
            _print(session, bring_back(folder, _installation_in(backup), now))
        else:
            _print(session, make(folder, choices, now))
    except InstallError as error:
        raise CliError(str(error)) from None


def _installation_in(backup: Path) -> str:
    """Return `installation.json` of a backup. Raises CliError."""
    from headrace.backup.archive import Reader  # noqa: PLC0415 - needed by this option only
    from headrace.backup.errors import BackupError  # noqa: PLC0415

    try:
        with Reader(backup) as reader:
            found = reader.secrets.installation
    except BackupError as error:
        raise CliError(str(error)) from None
    if found is None:
        raise CliError(
            f"{backup} holds no installation.json: it was made where that was not, and names no --installation; take your "
            "copy of that file into an empty folder DIR, and run `headrace init DIR`"
        )
    return found


def _print(session: Session, made: Made, *, everything: bool = False) -> None:
    output = session.output
    if output.as_json:
        output.record(_installed(made))
        return
    shown = [one for one in made.entries if everything or one.found != "unchanged"]
    width = max((len(one.path) for one in shown), default=0)
    for one in shown:
        words = [one.what, *(["secret"] if one.secret else []), *([] if one.found == "unchanged" else [str(one.found)])]
        output.line(f"{one.path:<{width}}  {words[0]}" + (f" ({', '.join(words[1:])})" if words[1:] else ""))
    edited = [one.path for one in made.entries if one.found == "edited"]
    if edited:
        output.note(
            f"left as they are, since somebody changed them: {', '.join(edited)}; remove one to have it made anew"
        )
    if not everything:
        count = len(made.changed)
        output.line(f"{made.folder}: " + (f"{count} files written" if count else "nothing to do, all files are there"))
        output.line(f"fingerprint of the authority (SHA-256): {made.state.authorities[0].fingerprint}")
        which = "next" if made.state.next_authority_waits else "former"
        for authority in made.state.authorities[1:]:
            output.line(f"fingerprint of the {which} authority (SHA-256): {authority.fingerprint}")
    if (step := authority_step(made.state)) is not None:
        output.line(f"rotation of the authority: {step}")
    if (step := secrets_key_step(made.state)) is not None:
        output.line(f"rotation of the secrets' key: {step}")
    for number, step in enumerate(made.steps, 1):
        output.line(f"{number}. {step}")
    for note in made.notes:
        output.note(f"warning: {note}")


def _installed(made: Made) -> Installed:
    return Installed(
        folder=made.folder,
        ca_fingerprint=made.state.authorities[0].fingerprint,
        ca_rotation=authority_step(made.state),
        secrets_key_rotation=secrets_key_step(made.state),
        changed=bool(made.changed),
        files=tuple(
            InstalledFile(path=one.path, what=one.what, secret=one.secret, found=str(one.found)) for one in made.entries
        ),
        steps=made.steps,
        notes=made.notes,
    )
