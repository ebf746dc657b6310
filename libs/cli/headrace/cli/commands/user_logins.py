"""`headrace user password`, `logins`, `end-login`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import User, secret
from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.cli.text import until
from headrace.common.contracts.http.logins import LoginView
from headrace.sdk.errors import ApiError

_LOGINS: Columns[LoginView] = (
    ("ID", lambda login: login.id),
    ("BY", lambda login: login.method),
    ("IN", lambda login: "browser" if login.form == "cookie" else "program"),
    ("FROM", lambda login: login.source_address or "-"),
    ("SINCE", lambda login: login.created_at),
    ("LAST USED", lambda login: login.last_used_at),
    ("ENDS", lambda login: until(login.ends_at, datetime.now(UTC))),
    ("THIS", lambda login: "yes" if login.current else ""),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"password": password, "logins": logins, "end-login": end_login})


@changing
def password(
    session: Session,
    user: User,
    unset: Annotated[bool, typer.Option("--unset", help="Take it away: the user logs in by key or code only.")] = False,
) -> None:
    """Set a user's password, which is asked for, or read from standard input: the new one, then the present one where it is needed.

    The user's other logins end. The present one is needed to change your own, unless with an API key that does not expire.
    """
    new = None if unset else secret("New password", twice=True)
    try:
        session.client.logins.set_password(user, new)
    except ApiError as error:
        if [row.get("field") for row in error.errors] != ["current"]:
            raise
        session.client.logins.set_password(user, new, current=secret("Present password"))
    what = "has no password any more" if unset else "has a new password"
    session.output.done(f"{user} {what}; other logins have ended", user=user, has_password=not unset)


def logins(session: Session, user: User) -> None:
    """List a user's logins that have not ended: by what, where from, when used last."""
    session.output.table(session.client.logins.list(user), _LOGINS, empty="no logins")


@changing
def end_login(
    session: Session,
    user: User,
    login_id: Annotated[UUID, typer.Argument(metavar="LOGIN_ID", help="See: headrace user logins.")],
) -> None:
    """End a login of a user; it is refused from the next request on."""
    session.client.logins.end_of(user, login_id)
    session.output.done(f"the login {login_id} has ended", ended=login_id)
