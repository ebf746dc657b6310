"""`headrace search`: what has a text in its name or description."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.command import Commands, command
from headrace.cli.output import Columns
from headrace.cli.session import Session
from headrace.common.contracts.http.search import SearchHit
from headrace.common.contracts.vocabulary import FoundKind

_COLUMNS: Columns[SearchHit] = (
    ("KIND", lambda hit: hit.kind),
    ("NAME", lambda hit: hit.name),
    ("PROJECT", lambda hit: hit.project or "-"),
    ("DESCRIPTION", lambda hit: _line(hit.description) or "-"),
)
_MAX_DESCRIPTION_CHARS = 80


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "search")(search)


def search(
    session: Session,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Text in a name, description, tag or label.")],
    kind: Annotated[FoundKind | None, typer.Option("--kind", help="Only things of this kind.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="NUMBER", min=1, max=50, help="Most things of each kind.")
    ] = 10,
) -> None:
    """Search services, folders, projects, machines and users that one may see."""
    found = session.client.search(text, kind=kind, limit=limit)
    session.output.table(found.items, _COLUMNS, empty=f"nothing has {text} in its name or description")
    if found.more and not session.output.as_json:
        session.output.note(f"there are more of: {', '.join(found.more)}; --limit shows up to 50 of each")


def _line(text: str) -> str:
    """Return the text on one line, cut."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_DESCRIPTION_CHARS else f"{line[: _MAX_DESCRIPTION_CHARS - 1]}…"
