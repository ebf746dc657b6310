"""Parts of a model definition that others than its parser know: health check and pre-start actions, which travel to the
agent, and the model's metadata.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from headrace.common.contracts.slots import QuotaSlots
from headrace.common.contracts.wording import Refused, pattern

_ABSOLUTE_OR_RELATIVE = StringConstraints(min_length=1, max_length=4096)
Mode = Annotated[
    str, StringConstraints(pattern=pattern(r"^0?[0-7]{3,4}$", "a file mode in octal digits, for example 644"))
]
_URL_PATH = pattern(r"^/[^\s]*$", "a path that begins with / and has no blanks")


class Part(BaseModel):
    """Base of the parts of a model definition. Immutable; an unknown key is an error with its path."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class HealthCheck(Part):
    """Health check of a replica. Times in seconds; defaults are Backend.AI's."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=_URL_PATH)]
    interval: float = Field(10.0, gt=0, le=86_400)
    max_retries: int = Field(10, ge=0, le=10_000)
    max_wait_time: float = Field(15.0, gt=0, le=3_600)
    expected_status_code: int = Field(200, ge=100, le=599)
    initial_delay: float = Field(60.0, ge=0, le=86_400)

    @field_validator("interval", "max_retries", "max_wait_time", "expected_status_code", "initial_delay", mode="before")
    @classmethod
    def _no_boolean(cls, value: object) -> object:
        if isinstance(value, bool):
            raise Refused(value, "a number")
        return value


class WriteFile(Part):
    """Write (or append) `body` to `filename`; braces in it are literal."""

    filename: Annotated[str, _ABSOLUTE_OR_RELATIVE]
    body: Annotated[str, StringConstraints(max_length=1_048_576)]
    mode: Mode = "644"
    append: bool = False

    @field_validator("mode", mode="before", json_schema_input_type=str | int)
    @classmethod
    def _number(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class WriteTempfile(Part):
    """Write `body` to a fresh `.py` file."""

    body: Annotated[str, StringConstraints(max_length=1_048_576)]
    mode: Mode = "644"

    @field_validator("mode", mode="before", json_schema_input_type=str | int)
    @classmethod
    def _number(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class RunCommand(Part):
    """Run a program inside the kernel; its `{out, err}` goes to the log."""

    command: Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)]


class Mkdir(Part):
    """Create a directory and its parents."""

    path: Annotated[str, _ABSOLUTE_OR_RELATIVE]


class Log(Part):
    """Write a line to the kernel's log."""

    message: Annotated[str, StringConstraints(max_length=65_536)]
    debug: bool = False


class WriteFileAction(Part):
    """`write_file`."""

    action: Literal["write_file"]
    args: WriteFile


class WriteTempfileAction(Part):
    """`write_tempfile`."""

    action: Literal["write_tempfile"]
    args: WriteTempfile


class RunCommandAction(Part):
    """`run_command`."""

    action: Literal["run_command"]
    args: RunCommand


class MkdirAction(Part):
    """`mkdir`."""

    action: Literal["mkdir"]
    args: Mkdir


class LogAction(Part):
    """`log`."""

    action: Literal["log"]
    args: Log


PreStartAction = Annotated[
    WriteFileAction | WriteTempfileAction | RunCommandAction | MkdirAction | LogAction, Field(discriminator="action")
]
"""Run in order before the start command; a failing one fails the start with its error."""


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def empty_is_absent(value: object) -> object:
    """Return () for a key without a value."""
    return () if value is None else value


_TEXT: Any = str | int | float
_Text = Annotated[
    str, BeforeValidator(_number_as_text, json_schema_input_type=_TEXT), StringConstraints(max_length=10_000)
]
_Texts = Annotated[
    tuple[_Text, ...],
    BeforeValidator(empty_is_absent, json_schema_input_type=list[str | int | float] | None),
    Field(max_length=1000),
]


class ModelMetadata(Part):
    """What a model definition says of its model, for people and the model store; no decision depends on it.

    Numbers become text, as they are written: `version: 1.10` is the text 1.10.
    """

    author: _Text | None = None
    title: _Text | None = None
    version: _Text | None = None
    created: _Text | None = None
    last_modified: _Text | None = None
    description: _Text | None = None
    task: _Text | None = None
    category: _Text | None = None
    architecture: _Text | None = None
    framework: _Texts = ()
    label: _Texts = ()
    license: _Text | None = None
    min_resource: Annotated[
        QuotaSlots,
        BeforeValidator(
            lambda value: {} if value is None else value, json_schema_input_type=dict[str, str | float] | None
        ),
    ] = {}
    """The least slots that the model needs, by its author."""
