"""`headrace webhook …`: URLs of a project that are told of events of its history."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.flags import Project, Yes, confirmed
from headrace.cli.commands.of_project import project_of
from headrace.cli.commands.suggestions import complete_secret
from headrace.cli.commands.unset import emptied, unset_flag
from headrace.cli.output import Columns
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.common.contracts.http.webhooks import CreateWebhook, UpdateWebhook, WebhookAnswer, WebhookView

Name = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Name or id.")]
Kind = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        "-k",
        metavar="ACTION",
        help="As replica.ended, or 'service.*' for several; default: all. Repeatable; replaces all that were given.",
    ),
]
_FIELDS = {"kinds": "kinds", "enabled": "enabled"}


def _said(answer: WebhookAnswer) -> str:
    return answer.error or str(answer.status)


_COLUMNS: Columns[WebhookView] = (
    ("NAME", lambda w: w.name),
    ("STATE", lambda w: w.state),
    ("QUEUED", lambda w: w.queued),
    ("DELIVERED", lambda w: w.delivered),
    ("DROPPED", lambda w: w.dropped),
    ("LAST ANSWER", lambda w: _said(w.answers[0]) if w.answers else "-"),
    ("URL", lambda w: w.url),
)
_ANSWERS: Columns[WebhookAnswer] = (
    ("AT", lambda a: a.at),
    ("EVENT", lambda a: a.action),
    ("ANSWER", _said),
    ("TOOK", lambda a: f"{a.took_ms} ms"),
    ("ID", lambda a: a.event_id),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"create": create, "ls": ls, "show": show, "update": update, "test": send_test, "rm": rm})


@changing
def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique in the project.")],
    url: Annotated[str, typer.Option("--url", metavar="URL", help="Where events are sent (POST).")],
    secret: Annotated[
        str,
        typer.Option(
            "--secret",
            metavar="SECRET",
            help="Secret of the project that signs, 24 bytes or more (headrace secret set).",
            autocompletion=complete_secret,
        ),
    ],
    kind: Kind = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Create it without sending anything yet.")] = False,
    project: Project = None,
) -> None:
    """Create a webhook: events of the project's history are sent to its URL (owners)."""
    asked: dict[str, Any] = {"name": name, "url": url, "secret": secret}
    if kind:
        asked["kinds"] = kind
    if disabled:
        asked["enabled"] = False
    made = session.client.webhooks.create(project_of(session, project), CreateWebhook.model_validate(asked))
    _show(session, made)


def ls(session: Session, project: Project = None) -> None:
    """List the webhooks of a project, and what was answered last (owners)."""
    session.output.table(session.client.webhooks.list(project_of(session, project)), _COLUMNS, empty="no webhooks")


def show(session: Session, webhook: Name, project: Project = None) -> None:
    """Show a webhook, how its deliveries go and what was answered lately (owners)."""
    found = session.client.webhooks.get(project_of(session, project), webhook)
    _show(session, found)
    if not session.output.as_json:
        session.output.table(found.answers, _ANSWERS, empty="nothing was sent yet")


@changing
def update(
    session: Session,
    webhook: Name,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Where events are sent (POST).")] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            "--secret", metavar="SECRET", help="Secret of the project that signs.", autocompletion=complete_secret
        ),
    ] = None,
    kind: Kind = None,
    disabled: Annotated[
        bool | None, typer.Option("--disabled/--enabled", help="Send nothing, and drop what waits; or send again.")
    ] = None,
    unset: Annotated[list[str] | None, unset_flag(_FIELDS)] = None,
    project: Project = None,
) -> None:
    """Change a webhook; what waits is tried anew at once (owners)."""
    given: dict[str, Any] = emptied(unset, _FIELDS)
    fields = {"url": url, "secret": secret, "kinds": kind or None}
    given |= {field: value for field, value in fields.items() if value is not None}
    if disabled is not None:
        given["enabled"] = not disabled
    if not given:
        raise usage("found nothing to change; allowed: --url, --secret, --kind, --disabled, --enabled, --unset")
    change = UpdateWebhook.model_validate(given)
    _show(session, session.client.webhooks.update(project_of(session, project), webhook, change))


@changing
def send_test(session: Session, webhook: Name, project: Project = None) -> None:
    """Send an event webhook.tested to a webhook, whatever its kinds (owners)."""
    session.client.webhooks.test(project_of(session, project), webhook)
    session.output.done(
        f"queued for {webhook}; what is answered: headrace webhook show {webhook}", queued="webhook.tested"
    )


@changing
def rm(session: Session, webhook: Name, project: Project = None, yes: Yes = False) -> None:
    """Delete a webhook, and what waits for it (owners)."""
    of = project_of(session, project)
    confirmed(f"delete the webhook {webhook} of {of}?", yes=yes)
    session.client.webhooks.delete(of, webhook)
    session.output.done(f"deleted the webhook {webhook} of {of}", deleted=webhook, project=of)


def _show(session: Session, webhook: WebhookView) -> None:
    session.output.facts(
        webhook,
        (
            ("name", webhook.name),
            ("id", webhook.id),
            ("project", webhook.project),
            ("url", webhook.url),
            ("secret", webhook.secret),
            ("kinds", ", ".join(webhook.kinds)),
            ("state", webhook.state if webhook.problem is None else f"{webhook.state}: {webhook.problem}"),
            ("queued", webhook.queued),
            ("delivered", webhook.delivered),
            ("dropped", webhook.dropped),
            *((("next try", webhook.next_try_at),) if webhook.next_try_at is not None else ()),
            ("created", webhook.created_at),
            ("created by", webhook.created_by),
        ),
    )
