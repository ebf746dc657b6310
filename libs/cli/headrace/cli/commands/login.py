"""`headrace login`, `logout`, `whoami`: the stored login, by an API key or a name and password."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.command import Commands, command
from headrace.cli.commands.flags import secret
from headrace.cli.config import Login, Target, checked_key, checked_url
from headrace.cli.errors import CliError, ExitCode
from headrace.cli.output import interactive
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.cli.text import mapping
from headrace.common.contracts.http.logins import StartLogin
from headrace.common.contracts.http.whoami import WhoAmI
from headrace.common.contracts.keyform import LOGIN
from headrace.sdk.errors import ApiError, UnreachableError


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
    user: Annotated[
        str | None,
        typer.Option(
            "--user",
            metavar="NAME",
            help="Log in by this name and a password, which is asked for, or read from standard input.",
        ),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="Certificate authority of the server.")
    ] = None,
) -> None:
    """Log in by API key or by name and password, and store that for later commands (in a file that only you can read).

    A login by password ends at `headrace logout`, after a time without use (12 hours), or after a week.
    """
    wanted = url or session.url
    if user is not None and key is not None:
        raise usage("found --user and --key; allowed: one of them")
    if wanted is None:
        if key is not None:
            raise usage("--key needs --url")
        target, kept = _here(session)
    else:
        given = _key(key) if user is None else ""
        target = Target(checked_url(wanted), given, "the command line", ca.expanduser().absolute() if ca else None)
        kept = Login(url=target.url, key=target.key, ca_file=target.ca_file)
    try:
        if user is not None:
            target = _by_password(session, target, user)
            kept = Login(url=target.url, key=target.key, ca_file=target.ca_file)
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
    """End the login, and delete what is stored of it.

    An API key stays good: `headrace user rm-key` deletes it.
    """
    stored = session.config.login()
    if stored is not None and stored.url is not None and stored.key is not None and LOGIN.parse(stored.key):
        _end(session, Target(stored.url, stored.key, str(session.config.file), stored.ca_file))
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


def _by_password(session: Session, target: Target, user: str) -> Target:
    """Return the target with the token of a new login."""
    with session.connect(replace(target, key="")) as client:
        made = client.logins.start(StartLogin(user=user, password=secret(f"Password of {user}")))
    return replace(target, key=made.token)


def _end(session: Session, target: Target) -> None:
    """End the login at the server. One that ended already is; where nobody answers, it ends when its time is over."""
    try:
        with session.connect(target) as client:
            client.logins.end()
    except ApiError as error:
        if error.status != 401:
            raise
    except UnreachableError as error:
        session.output.note(f"{error}; the login is good there until its time is over, or `headrace user end-login`")
