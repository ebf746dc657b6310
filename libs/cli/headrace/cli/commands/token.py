"""`headrace token …`: tokens of a service, or of all services of a project."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.callers import UNSET_CALLER, CallerFlags, Unlimited, limits_text
from headrace.cli.commands.flags import WHEN
from headrace.cli.commands.in_force import NoWait, print_revocation
from headrace.cli.commands.suggestions import complete_project, complete_service
from headrace.cli.commands.unset import unset_flag
from headrace.cli.output import Columns
from headrace.cli.parsing import expiry, usage
from headrace.cli.session import Session
from headrace.cli.text import moment, until
from headrace.common.contracts.http.tokens import CreateToken, TokenView, UpdateToken
from headrace.sdk.tokens import Tokens

Service = Annotated[
    str | None,
    typer.Argument(metavar="SERVICE", help="Name or id; not with --project.", autocompletion=complete_service),
]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="SERVICE TOKEN_ID",
        help="The service (not with --project), then the token's id.",
        autocompletion=complete_service,
    ),
]
Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        "-p",
        metavar="PROJECT",
        help="Of all services of this project, later ones too.",
        autocompletion=complete_project,
    ),
]

_COLUMNS: Columns[TokenView] = (
    ("ID", lambda t: t.id),
    ("NAME", lambda t: t.name or "-"),
    ("BY", lambda t: t.created_by),
    ("LIMITS", lambda t: limits_text(t.limits)),
    ("SHARE", lambda t: t.share),
    ("EXPIRES", lambda t: until(t.expires_at, datetime.now(UTC))),
    ("LAST USED", lambda t: t.last_used_at or "-"),
    ("REVOKED", lambda t: moment(t.revoked_at) if t.revoked_at else "-"),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"create": create, "ls": ls, "update": update, "revoke": revoke})


@changing
def create(
    session: Session,
    limits: CallerFlags,
    service: Service = None,
    project: Project = None,
    name: Annotated[str, typer.Option("--name", help="What it is for.")] = "",
    expires: Annotated[str | None, typer.Option("--expires", metavar="WHEN", help=f"{WHEN} (default 30d).")] = None,
) -> None:
    """Create a token and show it, only this once."""
    tokens, of = _meant(session, service, project)
    lasting = {} if expires is None else expiry(expires, "--expires")
    made = tokens.create(of, CreateToken.model_validate({"name": name, **lasting, **limits.given()}))
    session.output.facts(
        made, (("token", made.token), ("id", made.id), ("expires", until(made.expires_at, datetime.now(UTC))))
    )
    session.output.note("it is not shown again")


def ls(session: Session, service: Service = None, project: Project = None) -> None:
    """List tokens, without their secrets."""
    tokens, of = _meant(session, service, project)
    session.output.table(tokens.list(of), _COLUMNS, empty="no tokens")


@changing
def update(
    session: Session,
    words: Words,
    limits: CallerFlags,
    project: Project = None,
    name: Annotated[str | None, typer.Option("--name", help="What it is for.")] = None,
    unlimited: Unlimited = False,
    unset: Annotated[list[str] | None, unset_flag(("name", *UNSET_CALLER))] = None,
) -> None:
    """Change a token's name, limits and share. Only given values change; its validity and expiry stay."""
    given = limits.change(unset, unlimited=unlimited, more=("name",)) | ({} if name is None else {"name": name})
    if not given:
        raise usage("found nothing to change; allowed: --name, limits, --share, --unset, --unlimited")
    tokens, of, token_id = _one(session, words, project)
    token = tokens.update(of, token_id, UpdateToken.model_validate(given))
    facts = (
        ("id", token.id),
        ("name", token.name or None),
        ("limits", limits_text(token.limits)),
        ("share", token.share),
    )
    session.output.facts(token, facts)


@changing
def revoke(session: Session, words: Words, project: Project = None, no_wait: NoWait = False) -> None:
    """Revoke a token, end its open requests, and print at which app-proxies that is in force."""
    tokens, of, token_id = _one(session, words, project)
    print_revocation(
        session,
        f"the token {token_id} is revoked",
        tokens.revoke(of, token_id),
        lambda most_s: tokens.wait_in_force(of, token_id, timeout_s=most_s),
        no_wait=no_wait,
    )


def _meant(session: Session, service: str | None, project: str | None) -> tuple[Tokens, str]:
    if service is not None and project is None:
        return session.client.tokens, service
    if project is not None and service is None:
        return session.client.project_tokens, project
    raise usage("allowed: either a SERVICE or --project PROJECT")


def _one(session: Session, words: list[str], project: str | None) -> tuple[Tokens, str, UUID]:
    *service, token = words
    if len(service) > 1:
        raise usage(f"found {len(words)} arguments; allowed: SERVICE TOKEN_ID, or --project PROJECT TOKEN_ID")
    try:
        token_id = UUID(token)
    except ValueError:
        raise usage(f"TOKEN_ID: found {token}; allowed: the id that `token ls` shows") from None
    tokens, of = _meant(session, service[0] if service else None, project)
    return tokens, of, token_id
