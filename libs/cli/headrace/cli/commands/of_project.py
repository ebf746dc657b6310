"""The project of a command whose things are of a project."""

from __future__ import annotations

from headrace.cli.parsing import usage
from headrace.cli.session import Session


def project_of(session: Session, given: str | None) -> str:
    """Return the project that is given, that of `project use`, or one's only one. Raises CliError."""
    chosen = session.project(given)
    if chosen is not None:
        return chosen
    mine = sorted(session.client.whoami().projects)
    if len(mine) != 1:
        raise usage(
            f"--project: found nothing; allowed: a project, since you are a member of {len(mine)} ({', '.join(mine[:10]) or 'none'})"
        )
    return mine[0]
