"""`headrace user …`: users, for operators."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import User, Yes, confirmed
from headrace.cli.commands.unset import emptied, unset_flag
from headrace.cli.output import Columns
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.cli.text import cell
from headrace.common.contracts.http.users import CreateUser, UpdateUser, UserView

_COLUMNS: Columns[UserView] = (
    ("NAME", lambda u: u.name),
    ("OPERATOR", lambda u: u.operator),
    ("PASSWORD", lambda u: u.has_password),
    ("DISABLED", lambda u: u.disabled),
    ("CREATED", lambda u: u.created_at),
    ("ID", lambda u: u.id),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(
        app,
        {
            "create": create,
            "ls": ls,
            "show": show,
            "update": update,
            "disable": disable,
            "enable": enable,
        },
    )


@changing
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique in the installation.")],
    operator: Annotated[bool, typer.Option("--operator", help="May do everything in every project.")] = False,
) -> None:
    """Create a user."""
    user = session.client.users.create(CreateUser(name=name, operator=operator))
    session.output.facts(user, (("name", user.name), ("id", user.id), ("operator", user.operator)))
    session.output.note(
        f"next: headrace user key {user.name} or headrace user password {user.name}; headrace project add-member PROJECT {user.name}"
    )


def ls(session: Session) -> None:
    """List the users."""
    session.output.table(session.client.users.list(), _COLUMNS, empty="no users")


@changing
def update(
    session: Session,
    user: User,
    operator: Annotated[
        bool | None,
        typer.Option("--operator/--no-operator", help="Whether the user may do everything in every project."),
    ] = None,
    unset: Annotated[list[str] | None, unset_flag(("operator",))] = None,
) -> None:
    """Change a user (operators); applies from the next request on. The last operator cannot be demoted."""
    given: dict[str, bool | None] = {**emptied(unset, {"operator": "operator"})}
    if operator is not None:
        given["operator"] = operator
    if not given:
        raise usage("found nothing to change; allowed: --operator, --no-operator, --unset")
    _show(session, session.client.users.update(user, UpdateUser.model_validate(given)))


def show(session: Session, user: User) -> None:
    """Show a user: whether an operator, whether disabled (operators: any; others: themselves)."""
    _show(session, session.client.users.get(user))


@changing
def disable(session: Session, user: User, yes: Yes = False) -> None:
    """Refuse a user's keys, password and logins (operators), from the next request on. What the user owns stays."""
    confirmed(
        f"disable the user {user}? keys and logins are refused at once; services, folders and tokens stay", yes=yes
    )
    _show(session, session.client.users.update(user, UpdateUser(disabled=True)))


@changing
def enable(session: Session, user: User) -> None:
    """Let a disabled user in again (operators): keys and password are good as before, logins have ended."""
    _show(session, session.client.users.update(user, UpdateUser(disabled=False)))


def _show(session: Session, user: UserView) -> None:
    since = f"yes, since {cell(user.disabled_at)}" if user.disabled else "no"
    facts = (("name", user.name), ("id", user.id), ("operator", user.operator), ("disabled", since))
    session.output.facts(user, facts)
