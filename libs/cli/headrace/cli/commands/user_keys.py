"""`headrace user key …`: API keys of users."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import WHEN, User, Yes, confirmed
from headrace.cli.commands.suggestions import complete_project
from headrace.cli.commands.unset import emptied, unset_flag
from headrace.cli.output import Columns
from headrace.cli.parsing import expiry, usage
from headrace.cli.session import Session
from headrace.cli.text import until
from headrace.common.contracts.http.keys import CreateKey, KeyView, UpdateKey


def _may(key: KeyView) -> str:
    what = "see" if key.read_only else "all of its user"
    return what if key.projects is None else f"{what}, in {', '.join(key.projects) or 'projects that are gone'}"


_KEYS: Columns[KeyView] = (
    ("ID", lambda k: k.id),
    ("NAME", lambda k: k.name),
    ("MAY", _may),
    ("CREATED", lambda k: k.created_at),
    ("EXPIRES", lambda k: until(k.expires_at, datetime.now(UTC))),
    ("LAST USED", lambda k: k.last_used_at or "never"),
)
_UNSET = {"name": "name", "expires": "expires_in_s", "read-only": "read_only", "projects": "projects"}
"""Field by flag."""
Projects = Annotated[
    list[str] | None,
    typer.Option(
        "--project",
        "-p",
        metavar="PROJECT",
        help="Good for this project only. Repeatable; replaces the others.",
        autocompletion=complete_project,
    ),
]


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"key": key, "keys": keys, "update-key": update_key, "rm-key": rm_key})


@changing
def key(
    session: Session,
    user: User,
    name: Annotated[str, typer.Option("--name", help="What the key is for.")] = "default",
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="WHEN", help=f"{WHEN}, never; without it: never.")
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="It may see everything that its user may, and change nothing.")
    ] = False,
    project: Projects = None,
) -> None:
    """Create an API key and show it, only this once. A key made with one that expires expires no later."""
    asked: dict[str, Any] = {"name": name}
    if expires is not None:
        asked |= expiry(expires, "--expires", never=True)
    if read_only:
        asked["read_only"] = True
    if project:
        asked["projects"] = project
    made = session.client.users.create_key(user, CreateKey.model_validate(asked))
    session.output.facts(
        made,
        (
            ("key", made.key),
            ("id", made.id),
            ("may", _may(made)),
            ("expires", until(made.expires_at, datetime.now(UTC))),
        ),
    )
    session.output.note("it is not shown again")


def keys(session: Session, user: User) -> None:
    """List a user's API keys, without their secrets."""
    session.output.table(session.client.users.keys(user), _KEYS, empty="no keys")


@changing
def update_key(
    session: Session,
    user: User,
    key_id: Annotated[UUID, typer.Argument(metavar="KEY_ID", help="See: headrace user keys.")],
    name: Annotated[str | None, typer.Option("--name", help="What the key is for.")] = None,
    expires: Annotated[str | None, typer.Option("--expires", metavar="WHEN", help=f"{WHEN}, never.")] = None,
    read_only: Annotated[
        bool | None, typer.Option("--read-only/--no-read-only", help="Whether it may change nothing.")
    ] = None,
    project: Projects = None,
    unset: Annotated[list[str] | None, unset_flag(_UNSET)] = None,
) -> None:
    """Change an API key's name, expiry and what it may; its secret stays. Without an expiry it lasts until it is deleted.

    With a key that expires, your own keys can be extended to its expiry at most.
    """
    given: dict[str, Any] = {**emptied(unset, _UNSET)}
    if name is not None:
        given["name"] = name
    if expires is not None:
        given |= expiry(expires, "--expires", never=True)
    if read_only is not None:
        given["read_only"] = read_only
    if project:
        given["projects"] = project
    if not given:
        raise usage("found nothing to change; allowed: --name, --expires, --read-only, --project, --unset")
    found = session.client.users.update_key(user, key_id, UpdateKey.model_validate(given))
    session.output.facts(
        found,
        (
            ("id", found.id),
            ("name", found.name),
            ("may", _may(found)),
            ("expires", until(found.expires_at, datetime.now(UTC))),
        ),
    )


@changing
def rm_key(
    session: Session,
    user: User,
    key_id: Annotated[UUID, typer.Argument(metavar="KEY_ID", help="See: headrace user keys.")],
    yes: Yes = False,
) -> None:
    """Revoke an API key. Logins that came from it end, too."""
    confirmed(f"make the key {key_id} of {user} invalid?", yes=yes)
    session.client.users.delete_key(user, key_id)
    session.output.done(f"the key {key_id} is invalid now", deleted=key_id)
