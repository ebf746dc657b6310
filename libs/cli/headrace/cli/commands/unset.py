"""Flag `--unset FIELD` of update commands.

An empty value on a command line is a text, so resetting a field needs a flag of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import typer

from headrace.cli.parsing import usage


def unset_flag(fields: Iterable[str], *, of_several: str = "") -> typer.models.OptionInfo:
    """Return the option; `of_several`: form of a field with several values, for example quota=cpu."""
    one = f" Of several one: {of_several}." if of_several else ""
    words = f"Reset to the default, before other flags apply.{one} Fields: {', '.join(fields)}. Repeatable."
    option: typer.models.OptionInfo = typer.Option("--unset", metavar="FIELD", help=words)
    return option


def emptied(unset: Iterable[str] | None, fields: Mapping[str, str]) -> dict[str, None]:
    """Return the PATCH fields that reset what is named. `fields`: the request's field by the flag's. Raises CliError."""
    found: dict[str, None] = {}
    for item in unset or ():
        if item not in fields:
            raise usage(f"--unset {item}: allowed: {', '.join(fields)}")
        found[fields[item]] = None
    return found
