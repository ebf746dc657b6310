"""`headrace client …`: named clients, which call a service with basic auth."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from headrace.cli.command import Commands, changing, commands
from headrace.cli.commands.callers import CallerFlags, Unlimited, UnsetCaller, limits_text
from headrace.cli.commands.flags import Service, Yes, confirmed
from headrace.cli.commands.in_force import NoWait, print_revocation, words
from headrace.cli.commands.suggestions import complete_client
from headrace.cli.output import Columns
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.cli.text import moment
from headrace.common.contracts.http.clients import ClientView, CreateClient, NewClient
from headrace.common.contracts.http.tokens import UpdateCaller

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or id of the client.", autocompletion=complete_client)]

_COLUMNS: Columns[ClientView] = (
    ("NAME", lambda c: c.name),
    ("BY", lambda c: c.created_by),
    ("LIMITS", lambda c: limits_text(c.limits)),
    ("SHARE", lambda c: c.share),
    ("CREATED", lambda c: c.created_at),
    ("ROTATED", lambda c: moment(c.rotated_at) if c.rotated_at else "-"),
    ("LAST USED", lambda c: c.last_used_at or "-"),
    ("ID", lambda c: c.id),
)


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"create": create, "ls": ls, "update": update, "rotate": rotate, "rm": rm})


@changing
def create(
    session: Session,
    service: Service,
    name: Annotated[str, typer.Argument(metavar="NAME", help="User name of basic auth; replicas see it.")],
    limits: CallerFlags,
) -> None:
    """Create a client and show its secret, only this once."""
    body = CreateClient.model_validate({"name": name, **limits.given()})
    endpoint = _endpoint(session, service)
    _show(session, session.client.clients.create(service, body), endpoint)


def ls(session: Session, service: Service) -> None:
    """List a service's clients, without their secrets."""
    session.output.table(session.client.clients.list(service), _COLUMNS, empty="no clients")


@changing
def update(
    session: Session,
    service: Service,
    name: Name,
    limits: CallerFlags,
    unlimited: Unlimited = False,
    unset: UnsetCaller = None,
) -> None:
    """Change a client's limits and share. Only given values change; the name is part of its credential, and fixed."""
    given = limits.change(unset, unlimited=unlimited)
    if not given:
        raise usage("found nothing to change; allowed: limits, --share, --unset, --unlimited")
    client = session.client.clients.update(service, name, UpdateCaller.model_validate(given))
    facts = (("name", client.name), ("limits", limits_text(client.limits)), ("share", client.share))
    session.output.facts(client, facts)


@changing
def rotate(session: Session, service: Service, name: Name, yes: Yes = False) -> None:
    """Replace a client's secret and show the new one, only this once. Prints at which app-proxies the old one is
    refused.
    """
    confirmed(f"replace the secret of {name}?", yes=yes)
    endpoint = _endpoint(session, service)
    client = session.client.clients.rotate(service, name)
    _show(session, client, endpoint)
    if not session.output.as_json:
        seen = session.client.clients.wait_in_force(service, client.id)
        session.output.note(f"the old secret: {words(seen)}")


@changing
def rm(session: Session, service: Service, name: Name, yes: Yes = False, no_wait: NoWait = False) -> None:
    """Delete a client, end its open requests, and print at which app-proxies that is in force."""
    confirmed(f"end the client {name} of {service}?", yes=yes)
    seen = session.client.clients.revoke(service, name)
    print_revocation(
        session,
        f"the client {name} of {service} is ended",
        seen,
        lambda most_s: session.client.clients.wait_in_force(service, seen.id, timeout_s=most_s),
        no_wait=no_wait,
    )


def _endpoint(session: Session, service: str) -> str:
    """Return the service's endpoint. Fetched first, so that no error can hide the secret once it is made."""
    return session.client.services.get(service).endpoint.rstrip("/")


def _show(session: Session, client: NewClient, endpoint: str) -> None:
    call = shlex.join(["curl", "-u", f"{client.name}:{client.secret}", f"{endpoint}/"])
    session.output.facts(client, (("name", client.name), ("secret", client.secret), ("id", client.id), ("call", call)))
    session.output.note("the secret is not shown again")
