"""Parts of a model definition that travel from the file to the agent: health check and pre-start actions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

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

    @field_validator("mode", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class WriteTempfile(Part):
    """Write `body` to a fresh `.py` file."""

    body: Annotated[str, StringConstraints(max_length=1_048_576)]
    mode: Mode = "644"

    @field_validator("mode", mode="before")
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
