"""`headrace folder check|schema`: definition files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.command import Commands, commands
from headrace.cli.commands.flags import Folder, Project
from headrace.cli.errors import ExitCode
from headrace.cli.parsing import usage
from headrace.cli.session import Session
from headrace.cli.text import cell
from headrace.common.contracts.http.definitions import DefinitionCheck
from headrace.common.contracts.vocabulary import DefinitionKind
from headrace.common.text.counting import count


def register(app: Commands) -> None:
    """Add the commands."""
    commands(app, {"check": check, "schema": schema})


def check(
    session: Session,
    folder: Folder,
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Definition file in the folder.")
    ] = "model-definition.yaml",
    local: Annotated[
        Path | None,
        typer.Option("--local", metavar="FILE", help="Check this local file as if it were there; - is standard input."),
    ] = None,
    project: Project = None,
) -> None:
    """Check a definition file: each error with line, column, found and allowed. Exit code 1 if anything is wrong."""
    text = None if local is None else _text(local)
    found = session.client.folders.check(folder, path, text=text, project=session.project(project, of=folder))
    _show(session, found)
    if not found.valid:
        raise typer.Exit(ExitCode.FAILED)


def schema(
    session: Session,
    kind: Annotated[DefinitionKind, typer.Argument(metavar="KIND", help="model-definition or service-definition.")],
) -> None:
    """Print the JSON Schema of a definition file, for editors."""
    session.output.raw(json.dumps(session.client.folders.schema(kind), indent=None if session.output.as_json else 2))


def _text(local: Path) -> str:
    content = sys.stdin.buffer.read() if str(local) == "-" else local.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise usage(f"--local {local}: found a byte at {error.start} that is not UTF-8; allowed: UTF-8 text") from None


def _show(session: Session, found: DefinitionCheck) -> None:
    if session.output.as_json:
        session.output.record(found)
        return
    what = "models" if found.kind == "model-definition" else "runtimes"
    if found.valid:
        session.output.line(cell(f"{found.path} is right; {what}: {', '.join(found.names) or 'none'}"))
        return
    session.output.line(cell(f"{found.path}: {count(len(found.problems), 'problem')}"))
    for problem in found.problems:
        place = "" if problem.line is None else f"{problem.line}:{problem.column}: "
        session.output.line(cell(f"  {place}{problem.path}: found {problem.found}"))
        session.output.line(cell(f"    allowed: {problem.allowed}"))
