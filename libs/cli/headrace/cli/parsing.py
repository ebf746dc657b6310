"""Parsing of command-line values: NAME=VALUE pairs, durations, mounts, definition files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, Final

from headrace.cli.errors import CliError, ExitCode
from headrace.cli.text import moment
from headrace.common.text.expiry import read_duration, read_moment

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"^(\d+)([smhdw]?)$")


def usage(text: str) -> CliError:
    """Return the error for an invalid flag."""
    return CliError(text, ExitCode.USAGE)


def pairs(values: Iterable[str], flag: str) -> dict[str, str]:
    """Parse `A=B` values into a mapping; the last one of a name counts. Raises CliError."""
    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise usage(f"{flag} {value}: found no NAME=VALUE; allowed: for example {flag} A=B")
        found[name] = text
    return found


def env_file(path: Path) -> dict[str, str]:
    """Parse a file with one NAME=VALUE per line; `#` begins a comment line. Raises CliError, OSError."""
    lines = _text(path).splitlines()
    wanted = (line for line in (raw.strip() for raw in lines) if line and not line.startswith("#"))
    return pairs(wanted, f"{path}:")


def duration_s(value: str, flag: str) -> int:
    """Parse `90`, `90s`, `15m`, `12h`, `30d`, `2w` to seconds. Raises CliError."""
    match = _DURATION.match(value.strip())
    if match is None:
        raise usage(f"{flag} {value}: found no duration; allowed: a number with s, m, h, d or w, for example 30d")
    return int(match[1]) * _SECONDS[match[2] or "s"]


def expiry(value: str, flag: str, *, never: bool = False) -> dict[str, Any]:
    """Return the field of a request for a duration with a unit (`90d`), a date, a time, or `never` where it is allowed. Raises CliError."""
    from headrace.sdk.expiry import expiry_fields  # noqa: PLC0415 - most commands have no expiry

    try:
        found = expiry_fields(value, never=never)
    except ValueError as error:
        raise usage(f"{flag} {value}: {error}") from None
    end = found.get("expires_at")
    if end is not None and end <= datetime.now(UTC):
        raise usage(f"{flag} {value}: found {moment(end)}, which is over; allowed: a time after now")
    return found


def lifetime_s(value: str, flag: str, now: datetime) -> int:
    """Return the seconds from `now` to the expiry in `value`. Raises CliError."""
    from headrace.sdk.expiry import lasting_s  # noqa: PLC0415 - most commands have no expiry

    try:
        return lasting_s(value, now)
    except ValueError as error:
        raise usage(f"{flag} {value}: {error}") from None


def past(value: str, flag: str, now: datetime) -> datetime:
    """Return the moment that a duration before `now` (`24h`), a date (its beginning, UTC) or a time means. Raises CliError."""
    text = value.strip()
    if (ago := read_duration(text)) is not None:
        try:
            return now - ago
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    found = read_moment(text, time.min)
    if found is None:
        raise usage(
            f"{flag} {value}: found neither a duration nor a date; allowed: a number with s, m, h, d or w (24h: a day ago), "
            "a date (2027-12-31: its beginning, UTC) or a time (2027-12-31T18:00:00Z)"
        )
    return found


def mount(value: str) -> dict[str, Any]:
    """Parse an extra mount: `FOLDER[:/PATH][:rw|:ro]`. Raises CliError."""
    folder, *rest = value.split(":")
    found: dict[str, Any] = {"folder": folder}
    if rest and rest[-1] in {"ro", "rw"}:
        found["read_only"] = rest.pop() == "ro"
    if rest:
        found["target"] = rest.pop(0)
    if rest or not folder:
        raise usage(f"--mount {value}: allowed: FOLDER[:/PATH][:rw|:ro], for example corpus:/data:ro")
    return found


def document(path: Path) -> dict[str, Any]:
    """Parse a YAML or JSON file with a mapping. Raises CliError for anything else, OSError."""
    from headrace.common.text.yamltext import load_yaml  # noqa: PLC0415 - most commands read no file

    text = _text(path)
    try:
        found = json.loads(text) if path.suffix == ".json" else load_yaml(text)
    except ValueError as error:
        raise usage(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise usage(f"{path}: found {type(found).__name__}; allowed: a mapping of names to values")
    return dict(found)


def _text(path: Path) -> str:
    """Return a file's text. Raises CliError if it is not UTF-8, OSError."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise usage(f"{path}: found a byte at {error.start} that is not UTF-8; allowed: UTF-8 text") from None
