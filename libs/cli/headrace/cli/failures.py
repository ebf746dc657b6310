"""Mapping of expected errors to texts and exit codes.

In one place, so that the same failure looks the same from every command.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from signal import Signals
from typing import Any, Final

import typer
from pydantic import ValidationError
from pydantic_core import SchemaError
from typer.exceptions import TyperException

from headrace.cli.errors import CliError, ExitCode
from headrace.cli.text import clean
from headrace.common.contracts import wording
from headrace.sdk.errors import (
    AnswerLostError,
    ApiError,
    HeadraceError,
    TransferError,
    UnreachableError,
    WaitFailedError,
    WaitTimeoutError,
)


def ended_by_signal(error: Exception, received: Signals | None) -> int | None:
    """Return the exit code of a command that a signal ended while pydantic built a model; None for any other error.

    Models are built when they are first used, and pydantic converts whatever is raised meanwhile to a SchemaError, which
    keeps no more of it than its text.
    """
    return 128 + received if received is not None and isinstance(error, SchemaError) else None


@dataclass(frozen=True)
class Failure:
    """Error as it is printed: text, hints and exit code."""

    code: ExitCode
    title: str
    detail: str
    type: str = "failed"
    errors: Sequence[Mapping[str, Any]] = ()
    hint: str = ""
    log: str = ""
    request_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """The problem document's further members."""

    def document(self) -> dict[str, Any]:
        """Return the JSON that `--json` prints on standard error."""
        known = {
            "type": self.type,
            "title": self.title,
            "detail": self.detail,
            "exit_code": int(self.code),
            "errors": [dict(e) for e in self.errors],
            "hint": self.hint,
            "log": self.log,
            "request_id": self.request_id,
        }
        return {**self.extra, **{name: value for name, value in known.items() if value not in ("", None, [])}}

    def lines(self) -> list[str]:
        """Return the lines for people, on standard error."""
        # the detail of a problem with a list of errors repeats the first one
        listed = self.errors and "status" in self.extra and (self.type in _LISTED or len(self.errors) > 1)
        said = str(self.extra.get("file", "")) if listed else self.detail
        shown = ["error: " + ": ".join(part for part in (self.title, said) if part)]
        for error in self.errors:
            shown += _rows(error)
        if self.log:
            shown += ["the end of its log:", *(f"  | {line}" for line in self.log.splitlines())]
        if self.hint:
            shown.append(f"hint: {self.hint}")
        if self.request_id:
            shown.append(f"request id: {self.request_id}")
        return [clean(line) for line in shown]


def _rows(error: Mapping[str, Any]) -> list[str]:
    """Return the lines of one error: where, what was found and what is allowed, or its words where it has none."""
    where = error.get("field", "?")
    if "path" in error:
        where = ": ".join(str(error[name]) for name in ("file", "path") if name in error)
    if "allowed" not in error and "detail" in error:
        return [f"  {where}: {error['detail']}"]
    found = json.dumps(error.get("found"), default=str, ensure_ascii=False)
    return [f"  {where}: found {found}", f"    allowed: {error.get('allowed', '?')}"]


_LISTED = frozenset({"invalid-request", "invalid-definition"})
_LOGIN = "headrace login --url URL, with --key KEY or --user NAME; or set HEADRACE_URL and HEADRACE_API_KEY"
_UNTRUSTED = "if the server has a CA of its own: headrace login --url URL --ca FILE, with the CA's certificate"
_NO_TLS = "what listens at this port does not speak TLS: is it the port of the API? (endpoints and NATS have others)"
_UNREACHABLE = "does it run, and at this address? of this machine: headrace status, systemctl status 'headrace-*', docker compose ps"
_PROBLEM_MEMBERS = frozenset({"type", "title", "status", "detail", "errors", "request_id"})


INTERRUPTED: Final = Failure(ExitCode.INTERRUPTED, "", "interrupted", type="interrupted")


def explain(error: Exception) -> Failure | None:
    """Return the Failure for `error`, or None if it is unexpected."""
    if isinstance(error, CliError):
        cause = explain(error.__cause__) if isinstance(error.__cause__, HeadraceError) else None
        own = "usage" if error.code is ExitCode.USAGE else "failed"
        kind, extra = (cause.type, cause.extra) if cause is not None else (own, {})
        return Failure(error.code, "", str(error), type=kind, hint=error.hint, log=error.log, extra=extra)
    if isinstance(error, HeadraceError):
        return _of_sdk(error)
    if isinstance(error, ValidationError):
        return of_validation(error)
    if isinstance(error, OSError):
        return Failure(ExitCode.FAILED, "", _words(error), type="system")
    return _of_command_line(error) or _of_embedded(error)


def of_validation(error: ValidationError) -> Failure:
    """Return the Failure for invalid values of a flag or file, with found and allowed values."""
    rows = wording.rows(error, whole="(all)")
    return Failure(
        ExitCode.USAGE, "Invalid request", "not sent, because it is wrong", type="invalid-request", errors=rows
    )


def report(failure: Failure, *, as_json: bool) -> None:
    """Print `failure` on standard error."""
    if failure is INTERRUPTED and not as_json:
        sys.stderr.write("interrupted\n")  # whoever interrupts knows that this is none
        return
    text = json.dumps(failure.document(), default=str) if as_json else "\n".join(failure.lines())
    sys.stderr.write(text + "\n")


def _of_sdk(error: HeadraceError) -> Failure:
    if isinstance(error, ApiError):
        return _of_api(error)
    if isinstance(error, UnreachableError):
        hint = _UNTRUSTED if error.untrusted else _NO_TLS if error.no_tls else _UNREACHABLE
        return Failure(ExitCode.UNREACHABLE, "", str(error), type="unreachable", hint=hint)
    if isinstance(error, AnswerLostError):
        return Failure(
            ExitCode.UNREACHABLE,
            "",
            str(error),
            type="answer-lost",
            hint="it may have been done all the same; look before trying again",
        )
    if isinstance(error, WaitFailedError | WaitTimeoutError):
        kind = "wait-failed" if isinstance(error, WaitFailedError) else "wait-timeout"
        extra = {"reason": error.reason.model_dump()} if error.reason is not None else {}
        return Failure(ExitCode.WAITED, "", str(error), type=kind, extra=extra)
    if isinstance(error, TransferError) and isinstance(error.__cause__, UnreachableError | AnswerLostError):
        return Failure(
            ExitCode.UNREACHABLE,
            "",
            str(error),
            type="transfer",
            hint="run the same command again: it goes on where it stopped",
        )
    return Failure(ExitCode.FAILED, "", str(error))


def _of_api(error: ApiError) -> Failure:
    denied = error.status in {401, 403}
    extra = {name: value for name, value in error.document.items() if name not in _PROBLEM_MEMBERS}
    return Failure(
        ExitCode.DENIED if denied else ExitCode.FAILED,
        error.title,
        error.detail,
        type=error.type,
        errors=error.errors,
        hint=_LOGIN if error.status == 401 else "",
        request_id=error.request_id if error.status >= 500 else None,
        extra={"status": error.status, **extra},
    )


def _of_embedded(error: Exception) -> Failure | None:
    # Imported late: most commands never touch the embedded stack.
    from headrace.embedded.errors import EmbeddedError, StartFailedError  # noqa: PLC0415

    if not isinstance(error, EmbeddedError):
        return None
    log = error.tail if isinstance(error, StartFailedError) else ""
    return Failure(ExitCode.FAILED, "", str(error), type="embedded", log=log)


def _of_command_line(error: Exception) -> Failure | None:
    """Return the Failure of what the library says of a command line; it prints that itself where no JSON is asked for."""
    if isinstance(error, typer.Abort):
        return Failure(ExitCode.FAILED, "", "aborted", type="aborted")
    if not isinstance(error, TyperException):
        return None
    context = getattr(error, "ctx", None)
    command = "headrace" if context is None else context.command_path
    said = error.format_message().strip()
    if said.startswith("Usage: "):  # the whole help, of a command that needs more words
        said = f"{command}: found no command"
    return Failure(ExitCode(error.exit_code), "", said, type="usage", hint=f"{command} --help")


def _words(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or error}"
