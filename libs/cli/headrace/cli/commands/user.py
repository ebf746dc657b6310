"""`headrace user …`: for operators; API keys also for the user itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from headrace.cli.command import Commands, commands
from headrace.cli.commands.flags import Yes, confirmed
from headrace.cli.commands.unset import emptied, unset_flag
from headrace.cli.output import Columns
from headrace.cli.parsing import lifetime_s, usage
from headrace.cli.session import Session
from headrace.common.contracts.http.keys import CreateKey, KeyView, UpdateKey
from headrace.common.contracts.http.users import CreateUser, UpdateUser, UserView

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


def register(app: Commands) -> None:
    """Add the commands."""
    commands(
        app,
        {
            "create": create,
            "ls": ls,
            "update": update,
            "key": key,
            "keys": keys,
            "update-key": update_key,
            "rm-key": rm_key,
        },
    )


def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique in the installation.")],
    operator: Annotated[bool, typer.Option("--operator", help="May do everything in every project.")] = False,
) -> None:
    """Create a user."""
    user = session.client.users.create(CreateUser(name=name, operator=operator))
    session.output.facts(user, (("name", user.name), ("id", user.id), ("operator", user.operator)))
    session.output.note(f"next: headrace user key {user.name}; headrace project add-member PROJECT {user.name}")


def ls(session: Session) -> None:
    """List the users."""
    session.output.table(session.client.users.list(), _COLUMNS, empty="no users")


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
    found = session.client.users.update(user, UpdateUser.model_validate(given))
    session.output.facts(found, (("name", found.name), ("id", found.id), ("operator", found.operator)))


def key(
    session: Session,
    user: User,
    name: Annotated[str, typer.Option("--name", help="What the key is for.")] = "default",
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="WHEN", help="For example 90d or 2027-12-31; without it: never.")
    ] = None,
) -> None:
    """Create an API key and show it, only this once. A key made with one that expires expires no later."""
    lasting = {"expires_in_s": lifetime_s(expires, "--expires", datetime.now(UTC))} if expires else {}
    made = session.client.users.create_key(user, CreateKey.model_validate({"name": name, **lasting}))
    session.output.facts(made, (("key", made.key), ("id", made.id), ("expires", made.expires_at or "never")))
    session.output.note("it is not shown again")


def keys(session: Session, user: User) -> None:
    """List a user's API keys, without their secrets."""
    session.output.table(session.client.users.keys(user), _KEYS, empty="no keys")


def update_key(
    session: Session,
    user: User,
    key_id: Annotated[UUID, typer.Argument(metavar="KEY_ID", help="See: headrace user keys.")],
    name: Annotated[str | None, typer.Option("--name", help="What the key is for.")] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="WHEN", help="For example 90d or 2027-12-31.")
    ] = None,
    unset: Annotated[list[str] | None, unset_flag(("name", "expires"))] = None,
) -> None:
    """Change the name and expiry of an API key; its secret stays. Without an expiry it lasts until it is deleted.

    With a key that expires, your own keys can be extended to its expiry at most.
    """
    given: dict[str, Any] = {**emptied(unset, {"name": "name", "expires": "expires_in_s"})}
    if name is not None:
        given["name"] = name
    if expires is not None:
        given["expires_in_s"] = lifetime_s(expires, "--expires", datetime.now(UTC))
    if not given:
        raise usage("found nothing to change; allowed: --name, --expires, --unset")
    found = session.client.users.update_key(user, key_id, UpdateKey.model_validate(given))
    session.output.facts(found, (("id", found.id), ("name", found.name), ("expires", found.expires_at or "never")))


def rm_key(
    session: Session,
    user: User,
    key_id: Annotated[UUID, typer.Argument(metavar="KEY_ID", help="See: headrace user keys.")],
    yes: Yes = False,
) -> None:
    """Revoke an API key."""
    confirmed(f"make the key {key_id} of {user} invalid?", yes=yes)
    session.client.users.delete_key(user, key_id)
    session.output.done(f"the key {key_id} is invalid now", deleted=key_id)
