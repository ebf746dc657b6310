"""`headrace console`: a link that logs its user in to the web console."""

from __future__ import annotations

from headrace.cli.command import Commands, command
from headrace.cli.session import Session


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "console")(console)


def console(session: Session) -> None:
    """Print a link that logs you in to the web console, once, within a minute."""
    made = session.client.logins.create_code()
    url = f"{session.client.url}{made.path}"
    if session.output.as_json:
        session.output.record({"url": url, "expires_at": made.expires_at.isoformat()})
        return
    session.output.line(url)
    session.output.note("it is good once, for a minute, for whoever has it")
