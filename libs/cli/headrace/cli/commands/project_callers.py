"""`headrace project callers`: what each token of a project used of all its services, and has left."""

from __future__ import annotations

from datetime import timedelta

from headrace.cli.command import Commands, commands
from headrace.cli.commands.project import Name as Project
from headrace.cli.commands.service.callers import COLUMNS, Window
from headrace.cli.parsing import duration_s
from headrace.cli.session import Session


def register(app: Commands) -> None:
    """Add the command."""
    commands(app, {"callers": callers})


def callers(session: Session, project: Project, window: Window = "24h") -> None:
    """List the tokens of a project: what each used of all its services, was refused, and has left."""
    found = session.client.usage.project_callers(project, window=timedelta(seconds=duration_s(window, "--window")))
    session.output.table(found, COLUMNS, empty="no token of the project is valid")
