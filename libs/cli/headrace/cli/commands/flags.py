"""Flags shared by several nouns.

A flag with one meaning has one name and one help text.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from headrace.cli.commands.suggestions import complete_folder, complete_project, complete_service, complete_user
from headrace.cli.output import interactive
from headrace.cli.parsing import usage

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        "-p",
        metavar="PROJECT",
        help="Name or id; without it that of `project use`, or one's only one.",
        autocompletion=complete_project,
    ),
]
OfProject = Annotated[
    str | None,
    typer.Option(
        "--project", "-p", metavar="PROJECT", help="Only those of this project.", autocompletion=complete_project
    ),
]
Service = Annotated[str, typer.Argument(metavar="SERVICE", help="Name or id.", autocompletion=complete_service)]
User = Annotated[str, typer.Argument(metavar="USER", help="Name or id.", autocompletion=complete_user)]
Folder = Annotated[
    str,
    typer.Argument(
        metavar="FOLDER", help="Name or id; of another project PROJECT/FOLDER.", autocompletion=complete_folder
    ),
]
WHEN = "For example 12h, 90d, 2027-12-31 or 2027-12-31T18:00+02:00"
"""Help of flags that take an expiry."""
Message = Annotated[str, typer.Option("--message", "-m", help="Why; kept in the history.")]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, help="Longest wait.")]


def secret(what: str, *, twice: bool = False) -> str:
    """Ask for a secret without showing it, or read it from standard input where nobody is there to ask.

    `twice`: a new one, which is asked for again.
    """
    if interactive(sys.stdin, sys.stderr):
        return str(typer.prompt(what, hide_input=True, confirmation_prompt=twice, err=True))
    return sys.stdin.readline().rstrip("\n")


def confirmed(question: str, *, yes: bool) -> None:
    """Ask for confirmation. Raises typer.Abort if it is refused, CliError if there is no terminal to ask on."""
    if yes:
        return
    if not interactive(sys.stdin, sys.stderr):
        raise usage(f"there is no terminal to ask on; say --yes, which answers: {question}")
    typer.confirm(question, abort=True, err=True)
