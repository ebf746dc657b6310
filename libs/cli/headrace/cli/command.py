"""Registers functions as commands: gives them the session, adds `--json`, and spreads groups of flags.

    @command(app, "ls")
    def ls(session: Session, project: Project = None) -> None: …

A parameter whose type is a dataclass stands for all its fields, so that several commands share a set of flags.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from headrace.cli.session import current

F = TypeVar("F", bound=Callable[..., None])
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON: objects, arrays for lists, a line each for streams.")]


def command(where: typer.Typer, name: str, **options: Any) -> Callable[[F], F]:
    """Register the decorated function as the command `name`; its first parameter gets the Session."""

    def register(function: F) -> F:
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        shared: dict[str, Any] = {p.name: p.annotation for p in parameters if is_dataclass(p.annotation)}

        def call(ctx: typer.Context, json: bool, **values: Any) -> None:
            session = current(ctx)
            session.output.as_json = session.output.as_json or json
            for parameter, flags in shared.items():
                values[parameter] = flags(**{field.name: values.pop(field.name) for field in fields(flags)})
            function(session, **values)

        _pretend(call, function, [*_spread(parameters)])
        where.command(name, **options)(call)
        return function

    return register


def commands(where: typer.Typer, functions: Mapping[str, Callable[..., None]]) -> None:
    """Register several under their names."""
    for name, function in functions.items():
        command(where, name)(function)


def _spread(parameters: list[inspect.Parameter]) -> Iterator[inspect.Parameter]:
    for parameter in parameters:
        if not is_dataclass(parameter.annotation):
            yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            continue
        hints = get_type_hints(parameter.annotation, include_extras=True)
        for field in fields(parameter.annotation):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            yield inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
            )


def _pretend(call: Callable[..., None], function: Callable[..., None], parameters: list[inspect.Parameter]) -> None:
    """Give `call` the name, help and signature by which typer makes the command."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    everything = [
        inspect.Parameter("ctx", keyword, annotation=typer.Context),
        *parameters,
        inspect.Parameter("json", keyword, default=False, annotation=_JSON),
    ]
    call.__name__, call.__doc__ = function.__name__, function.__doc__
    call.__annotations__ = {p.name: p.annotation for p in everything}
    call.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]  # read by inspect.signature
