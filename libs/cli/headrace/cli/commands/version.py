"""`headrace version`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from pydantic import BaseModel

from headrace.cli.command import Commands, command
from headrace.cli.errors import CliError
from headrace.cli.session import Session
from headrace.sdk import HeadraceError


class Versions(BaseModel):
    """Output of `headrace version --json`; `server` is None if it is unreachable."""

    client: str
    server: str | None
    url: str | None = None


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "version")(show)


def show(session: Session) -> None:
    """Show the version of this program, and of the server if it is reachable."""
    server, url = None, None
    try:
        session.patient = False
        url = session.client.url
        server = session.client.version().version
    except (CliError, HeadraceError) as error:
        session.output.note(f"server: {error}")
    found = Versions(client=installed_version(), server=server, url=url)
    session.output.facts(found, (("client", found.client), ("server", found.server or "not reached")))


def installed_version() -> str:
    """Return the version of the installed package."""
    try:
        return version("headrace")
    except PackageNotFoundError:
        return "unknown"
