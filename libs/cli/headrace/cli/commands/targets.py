"""`headrace targets`: what Prometheus is told to scrape."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from headrace.cli.command import Commands, command
from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.common.contracts.http.targets import TargetGroup


class Kind(StrEnum):
    """Kinds of targets."""

    AGENT = "agent"
    APPPROXY = "appproxy"
    REPLICA = "replica"


COLUMNS: Columns[TargetGroup] = (
    ("JOB", lambda one: one.labels.get("job")),
    ("INSTANCE", lambda one: one.labels.get("instance")),
    ("ADDRESS", lambda one: ", ".join(one.targets)),
    ("SERVICE", lambda one: one.labels.get("service")),
)


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "targets")(targets)


def targets(
    session: Session,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Only targets of this kind.")] = None,
) -> None:
    """Show what Prometheus is told to scrape: agents, app-proxies, engines of replicas (operators)."""
    found = session.client.targets(kind.value if kind is not None else None)
    session.output.table(found, COLUMNS, empty="nothing reports an address that can be scraped")
