"""`headrace user …`: for operators; keys also for oneself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from headrace.cli.command import commands
from headrace.cli.commands.flags import Yes, confirmed
from headrace.cli.output import Columns
from headrace.cli.parsing import lifetime_s
from headrace.cli.session import Session
from headrace.common.contracts.http.projects import CreateKey, CreateUser, KeyView, UserView

User = Annotated[str, typer.Argument(metavar="USER", help="Name or id.")]

_COLUMNS: Columns[UserView] = (
    ("NAME", lambda u: u.name),
    ("OPERATOR", lambda u: u.operator),
    ("CREATED", lambda u: u.created_at),
    ("ID", lambda u: u.id),
)
_KEYS: Columns[KeyView] = (
    ("ID", lambda k: k.id),
    ("NAME", lambda k: k.name),
    ("CREATED", lambda k: k.created_at),
    ("EXPIRES", lambda k: k.expires_at or "never"),
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands(app, {"create": create, "ls": ls, "key": key, "keys": keys, "rm-key": rm_key})


def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    operator: Annotated[bool, typer.Option("--operator", help="May do everything in every project.")] = False,
) -> None:
    """Create a user."""
    user = session.client.users.create(CreateUser(name=name, operator=operator))
    session.output.facts(user, (("name", user.name), ("id", user.id), ("operator", user.operator)))
    session.output.note(f"next: headrace user key {user.name}; headrace project add-member PROJECT {user.name}")


def ls(session: Session) -> None:
    """List the users."""
    session.output.table(session.client.users.list(), _COLUMNS, empty="no users")


def key(
    session: Session,
    user: User,
    name: Annotated[str, typer.Option("--name", help="What the key is for.")] = "default",
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="WHEN", help="For example 90d or 2027-12-31; without it: never.")
    ] = None,
) -> None:
    """Make a new API key and show it, this once."""
    lasting = {"expires_in_s": lifetime_s(expires, "--expires", datetime.now(UTC))} if expires else {}
    made = session.client.users.create_key(user, CreateKey.model_validate({"name": name, **lasting}))
    session.output.facts(made, (("key", made.key), ("id", made.id), ("expires", made.expires_at or "never")))
    session.output.note("it is not shown again")


def keys(session: Session, user: User) -> None:
    """List a user's API keys, without their secrets."""
    session.output.table(session.client.users.keys(user), _KEYS, empty="no keys")


def rm_key(
    session: Session, user: User, key_id: Annotated[UUID, typer.Argument(metavar="KEY_ID")], yes: Yes = False
) -> None:
    """Make an API key invalid."""
    confirmed(f"make the key {key_id} of {user} invalid?", yes=yes)
    session.client.users.delete_key(user, key_id)
    session.output.done(f"the key {key_id} is invalid now", deleted=key_id)
