"""`headrace login`, `logout`, `whoami`: the stored login."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.command import Commands, command
from headrace.cli.config import Login, Target, checked_key, checked_url
from headrace.cli.errors import CliError, ExitCode
from headrace.cli.output import interactive
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.cli.text import mapping
from headrace.common.contracts.http.whoami import WhoAmI
from headrace.sdk.errors import UnreachableError


def register(app: Commands) -> None:
    """Add the commands."""
    command(app, "login")(login)
    command(app, "logout")(logout)
    command(app, "whoami")(whoami)


def login(
    session: Session,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Server; without it: the stack that runs here.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="KEY", help="API key; '-' reads it from standard input; without it: asked for."),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="Certificate authority of the server.")
    ] = None,
) -> None:
    """Check a server and key, and store them for later commands (in a file that only you can read)."""
    wanted = url or session.url
    if wanted is None:
        if key is not None:
            raise usage("--key needs --url")
        target, kept = _here(session)
    else:
        target = Target(checked_url(wanted), _key(key), "the command line", ca.expanduser().absolute() if ca else None)
        kept = Login(url=target.url, key=target.key, ca_file=target.ca_file)
    try:
        with session.connect(target) as client:
            me = client.whoami()
    except UnreachableError as error:
        if not error.untrusted or target.ca_file is None:
            raise
        hint = f"{target.ca_file} has not signed this server's certificate: take tls/ca.crt of its own installation"
        raise CliError(str(error), ExitCode.UNREACHABLE, hint=hint) from error
    session.config.store(kept)
    _show(session, me, target.url)
    session.output.note(f"kept in {session.config.file}")


def logout(session: Session) -> None:
    """Delete the stored login."""
    there = session.config.forget()
    session.output.done("logged out" if there else "was not logged in", logged_out=there)


def whoami(session: Session) -> None:
    """Show the authenticated user, and its projects."""
    _show(session, session.client.whoami(), session.client.url)


def _show(session: Session, me: WhoAmI, url: str) -> None:
    session.output.facts(
        me,
        (
            ("server", url),
            ("user", me.user.name),
            ("operator", me.user.operator),
            ("projects", mapping(dict(me.projects))),
        ),
    )


def _here(session: Session) -> tuple[Target, Login]:
    """Return the login for the local stack: its data folder, because its address may change."""
    running = session.config.stacks.running()
    folder = session.data or (running[0].data if len(running) == 1 else None)
    if folder is None:
        found = "several stacks run here; say which: headrace --data FOLDER login" if running else "nothing runs here"
        raise CliError(found, ExitCode.USAGE if running else ExitCode.UNREACHABLE, hint="headrace login --url URL")
    folder = folder.expanduser().absolute()
    return session.config.local(folder), Login(data=folder)


def _key(given: str | None) -> str:
    if given is None and interactive(sys.stdin, sys.stderr):
        given = str(typer.prompt("API key", hide_input=True, err=True))
    elif given in {None, "-"}:
        given = sys.stdin.readline()
    return checked_key(given or "", "the key")
