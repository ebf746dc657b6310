"""`headrace completion`: prints the script that makes a shell complete this command line.

The names that are completed come from `suggestions.py`.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # public, but not listed as re-exported

from headrace.cli.command import Commands, command
from headrace.cli.parsing import usage
from headrace.cli.session import Session


class Shell(StrEnum):
    """Supported shells."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register(app: Commands) -> None:
    """Add the command."""
    command(app, "completion")(completion)


def completion(
    session: Session,
    shell: Annotated[
        Shell | None, typer.Argument(metavar="SHELL", help="bash, zsh or fish; without it: the one of $SHELL.")
    ] = None,
) -> None:
    """Print the shell's completion script; load it with: source <(headrace completion bash)."""
    wanted = shell or _own()
    script = get_completion_script(prog_name="headrace", complete_var="_HEADRACE_COMPLETE", shell=wanted.value)
    if session.output.as_json:
        session.output.record({"shell": wanted.value, "script": script})
    else:
        typer.echo(script)


def _own() -> Shell:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in set(Shell):
        raise usage(f"which shell? allowed: {', '.join(Shell)}")
    return Shell(name)
