"""Registers functions as commands: gives them the session, adds `--json`, and spreads groups of flags.

    @command(app, "ls")
    def ls(session: Session, project: Project = None) -> None: …

A parameter whose type is a dataclass stands for all its fields, so that several commands share a set of flags.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperGroup

from headrace.cli.session import current

F = TypeVar("F", bound=Callable[..., None])
_MAX_NAMED = 5
"""Commands that the error about an option names."""
_MESSAGE = Annotated[str, typer.Option("--message", "-m", help="Why; kept in the audit log.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON: objects, arrays for lists, a line each for streams.")]


class CommandGroup(TyperGroup):
    """Group that builds each of its commands when it is used: `service ls` does not pay for the twenty others."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waiting: dict[str, Callable[[typer.Typer], None]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order in which they were registered."""
        return [*self.waiting, *(name for name in super().list_commands(ctx) if name not in self.waiting)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command `cmd_name`, or None."""
        if cmd_name not in self.commands and (make := self.waiting.get(cmd_name)) is not None:
            single = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
            make(single)
            made = typer.main.get_group(single).commands[cmd_name]
            self.commands[cmd_name] = _without_empty_paths(_with_value_names(made))
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is named; the error about an option that it lacks names the commands that have it."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            option, of = getattr(error, "option_name", None), getattr(error, "ctx", None)
            if isinstance(option, str) and of is not None and of.parent is ctx:
                self._point_to_others(ctx, error, option, of.info_name)
            raise

    def _point_to_others(self, ctx: Any, error: Any, option: str, asked: str) -> None:
        others = [
            name
            for name in self.list_commands(ctx)
            if name != asked and any(option in (*p.opts, *p.secondary_opts) for p in self.get_command(ctx, name).params)
        ]
        # what a new thing is made with is changed by another command
        others = [name for name in others if name != "create"] or others
        if others:
            named = ", ".join(f"{ctx.command_path} {name}" for name in others[:_MAX_NAMED])
            error.message = f"{error.message}; it is an option of: {named}"


class Commands(typer.Typer):
    """Registry of one noun's commands, filled by its modules."""

    def __init__(self, *, help: str) -> None:
        super().__init__(
            cls=CommandGroup, help=help, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
        )
        self.waiting: dict[str, Callable[[typer.Typer], None]] = {}

    def add(self, module: str) -> None:
        """Let a module register its commands."""
        import_module(module).register(self)

    def add_later(self, module: str, names: Iterable[str]) -> None:
        """Register a module's command names; the module is imported when one of them is used."""
        for name in names:
            self.waiting[name] = partial(_from_module, module, name)

    def group(self, name: str) -> CommandGroup:
        """Return the group of all registered commands."""
        made = typer.main.get_group(self)
        assert isinstance(made, CommandGroup)  # noqa: S101 - the class that was asked for above
        made.name, made.waiting = name, self.waiting
        return made


def changing(function: F) -> F:
    """Decorator of a command that changes something: it has `--message`, which goes with each of its requests."""
    function.changing = True  # type: ignore[attr-defined]  # read by _make
    return function


def command(where: Commands, name: str) -> Callable[[F], F]:
    """Decorator that registers a function as the command `name`; its first parameter gets the Session."""

    def register(function: F) -> F:
        where.waiting[name] = partial(_make, name, function)
        return function

    return register


def _with_value_names(made: Any) -> Any:
    """Name what an option takes as docs/cli.md does (NUMBER, TEXT, the choices); arguments are named by themselves."""
    for parameter in made.params:
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = _no_type
        elif not parameter.is_flag:
            parameter.metavar = parameter.metavar or _value_name(parameter.type_descriptor.annotation)
    return made


def _without_empty_paths(made: Any) -> Any:
    """Have paths of this machine refused that are an empty text, as an empty variable leaves it: it would be the directory one is in."""
    for parameter in made.params:
        annotation = parameter.type_descriptor.annotation
        if Path in {annotation, *get_args(annotation)}:
            parameter.process_value = partial(_process_path, parameter, parameter.process_value)
    return made


def _process_path(parameter: Any, process: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    if "" in (value if isinstance(value, list | tuple) else [value]):
        raise typer.BadParameter("found an empty text; allowed: a path", ctx=ctx, param=parameter)
    return process(ctx, value)


def _no_type(ctx: Any) -> None:
    """Return that there is nothing to show beside the name."""


def _value_name(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "|".join(str(member.value) for member in annotation)
    return "NUMBER" if annotation in {int, float} else "TEXT"


def _from_module(module: str, name: str, where: typer.Typer) -> None:
    holder = Commands(help="")
    holder.add(module)
    holder.waiting[name](where)


def _make(name: str, function: Callable[..., None], where: typer.Typer) -> None:
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    shared: dict[str, Any] = {p.name: p.annotation for p in parameters if is_dataclass(p.annotation)}

    says_why = hasattr(function, "changing")

    def call(ctx: typer.Context, json: bool, **values: Any) -> None:
        session = current(ctx)
        if says_why:
            session.message = values.pop("message")
        session.output.as_json = session.output.as_json or json
        for parameter, flags in shared.items():
            values[parameter] = flags(**{field.name: values.pop(field.name) for field in fields(flags)})
        function(session, **values)

    shown = [*_spread(parameters)]
    if says_why:
        shown.append(inspect.Parameter("message", inspect.Parameter.KEYWORD_ONLY, default="", annotation=_MESSAGE))
    _copy_signature(call, function, shown)
    where.command(name)(call)


def commands(where: Commands, functions: Mapping[str, Callable[..., None]]) -> None:
    """Decorator that registers several functions under their names."""
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


def _copy_signature(
    call: Callable[..., None], function: Callable[..., None], parameters: list[inspect.Parameter]
) -> None:
    """Give `call` the name, help and signature from which typer builds the command."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    everything = [
        inspect.Parameter("ctx", keyword, annotation=typer.Context),
        *parameters,
        inspect.Parameter("json", keyword, default=False, annotation=_JSON),
    ]
    call.__name__, call.__doc__ = function.__name__, function.__doc__
    call.__annotations__ = {p.name: p.annotation for p in everything}
    call.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]  # read by inspect.signature
