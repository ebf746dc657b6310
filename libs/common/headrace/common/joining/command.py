"""The command `join` of a service: checks, joins, and has systemd run it. Nothing is changed before all checks pass."""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from headrace.common.bus.identities import public_key
from headrace.common.contracts.keyform import JOIN_TOKEN
from headrace.common.joining import units
from headrace.common.joining.api import Manager, known_manager
from headrace.common.joining.checks import Check, clock_check, existing, table, version_check
from headrace.common.joining.errors import JoinError, JoinRefusedError
from headrace.common.joining.files import MachineFiles, SettingValue
from headrace.common.joining.options import OneLineParser, check_options, left_as_they_are
from headrace.common.runtime.settings import ServiceSettings

TOKEN_VARIABLE: Final = "HEADRACE_JOIN_TOKEN"  # noqa: S105 - a name
_NO_NAME: Final = re.compile(r"[^a-z0-9-]+")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MAX_TOKEN_BYTES: Final = 200


@dataclass(frozen=True, slots=True)
class Joiner:
    """What is particular to a service that joins."""

    kind: str
    program: str
    """Its name as a program, and the words of its environment variables: `headrace-agent`, HEADRACE_AGENT."""
    module: str
    """Its package, and its name as a service of `headrace systemd`."""
    options: Callable[[argparse.ArgumentParser], None]
    checks: Callable[[argparse.Namespace], Sequence[Check]]
    settings: Callable[[argparse.Namespace, Mapping[str, Any]], Mapping[str, SettingValue | None]]
    """Its settings, of the options and of what the manager answered, beside those of all services; None: not known yet."""
    service: type[ServiceSettings]
    """All settings that it has."""
    forget: Callable[[argparse.Namespace], None] = lambda _given: None
    """Deletes the keys that it made itself when it joined before (`--again`). Raises OSError."""


def join(joiner: Joiner, arguments: Sequence[str]) -> int:
    """Run the command and return its exit status: 0, or 1 after one line on stderr, 2 for wrong usage."""
    given = _parser(joiner).parse_args(arguments)
    try:
        return _join(joiner, given)
    except JoinError as error:
        sys.stderr.write(f"{joiner.program} join: {error}\n")
        return 1


def own_address(url: str) -> str:
    """Return the address of this machine towards the manager: that by which app-proxies reach it, unless another is given."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=5) as connection:
            return str(connection.getsockname()[0])
    except OSError as error:
        raise JoinError(
            f"{url} cannot be reached: {error.strerror or error}; is the manager up, and the port open?"
        ) from None


def wants_unit(given: argparse.Namespace) -> bool:
    """Return whether systemd is to run the service from now on."""
    return not given.no_service and units.unsupported() is None


def _join(joiner: Joiner, given: argparse.Namespace) -> int:
    name = given.name or _NO_NAME.sub("-", socket.gethostname().lower().partition(".")[0]).strip("-")
    if _NAME.fullmatch(name) is None:
        raise JoinError(f"--name: found {name}; allowed: 1 to 63 lower-case letters, digits and hyphens")
    given.name = name
    files = MachineFiles(given.dir.absolute(), name)
    if files.kinds and joiner.kind not in files.kinds:
        raise JoinError(
            f"--name: found {name}, by which this machine joined as {', '.join(sorted(files.kinds))} ({files.credentials}); "
            "allowed: another name for each kind"
        )
    if files.joined and not given.again and not given.check_only:
        _say(f"{name} has joined before, by {files.credentials}; nothing to join. Anew, after its removal: --again")
        _say_what_stays(joiner, given, files)
        _start(joiner, given, files)
        return 0
    check_options(joiner.service, joiner.settings(given, {}))
    token = None if given.check_only else _token(given)
    manager = known_manager(given.url, ca=_ca(given.ca_file), ca_sha256=given.ca_sha256)
    checks = _checked(joiner, given, manager, files)
    for line in table(checks):
        _say(line)
    failed = [check.name for check in checks if check.mend is not None]
    if failed:
        raise JoinError(f"{', '.join(failed)}: see above; nothing was changed. Mend it and run the same line again")
    if token is None:
        before = f"; {name} has joined before" if files.joined else ""
        _say(f"all checks passed; nothing was changed (--check-only){before}")
        return 0
    _join_at(manager, token, joiner, given, files)
    _start(joiner, given, files)
    return 0


def _say_what_stays(joiner: Joiner, given: argparse.Namespace, files: MachineFiles) -> None:
    """Name the options that a machine which has joined has otherwise. Raises JoinError."""
    usual = joiner.settings(_parser(joiner).parse_args(["--url", given.url]), {})
    present = files.present_settings()
    with suppress(JoinError):  # of a file that an option names, which may be gone since
        for line in left_as_they_are(joiner.settings(given, {}), usual, present, files.settings):
            _say(line)


def _join_at(manager: Manager, token: str, joiner: Joiner, given: argparse.Namespace, files: MachineFiles) -> None:
    """Join with a key of the machine's, and write its files. Raises JoinError."""
    made = not files.pending.exists()
    seed = files.key(again=given.again)
    try:
        answer = manager.join(token=token, kind=joiner.kind, name=files.name, public_key=public_key(seed))
    except JoinRefusedError:
        if made:  # one that was there may be that of a join whose answer was lost
            files.forget_key()
        raise
    if given.again:
        _forget(joiner, given)
    settings: dict[str, SettingValue | None] = {
        **_common(given, files, answer, files.name),
        **joiner.settings(given, answer["settings"]),
    }
    files.write(seed, answer, {name: value for name, value in settings.items() if value is not None})
    _say(
        f"{files.name} has joined {manager.url}; its identity is signed until {answer['identity']['expires_at']}, and renewed before"
    )


def _forget(joiner: Joiner, given: argparse.Namespace) -> None:
    try:
        joiner.forget(given)
    except OSError as error:
        raise JoinError(f"{error.filename} cannot be deleted: {error.strerror or error}") from None


def _checked(joiner: Joiner, given: argparse.Namespace, manager: Manager, files: MachineFiles) -> list[Check]:
    found, clock = manager.version()
    return [
        version_check(found, version("headrace")),
        clock_check(clock, datetime.now(UTC)),
        *joiner.checks(given),
        *([units.unit_check(joiner.module, files.settings)] if wants_unit(given) else []),
        _writable("folder of settings", given.dir),
        _writable("folder of data", given.data_dir),
    ]


def _writable(name: str, folder: Path) -> Check:
    there = existing(folder)
    mend = None if there.is_dir() and os.access(there, os.W_OK) else "run as root, or name another: --dir, --data-dir"
    return Check(name, f"{folder}{'' if mend is None else ' cannot be written'}", "writable", mend)


def _common(
    given: argparse.Namespace, files: MachineFiles, answer: Mapping[str, Any], name: str
) -> dict[str, SettingValue]:
    ca: dict[str, SettingValue] = {"ca_file": str(files.ca)} if answer.get("ca") else {}
    return {
        **ca,
        "id": name,
        "nats_url": str(answer["nats_url"]),
        "nats_user": name,
        "nats_credentials": str(files.credentials),
        "manager_urls": [given.url.rstrip("/")],
    }


def _start(joiner: Joiner, given: argparse.Namespace, files: MachineFiles) -> None:
    """Have systemd run the service from now on, or say how to start it. Raises JoinError."""
    variable = f"HEADRACE_{joiner.module.upper()}_CONFIG"
    by_hand = f"start it: {variable}={files.settings} {sys.executable} -m headrace.{joiner.module}"
    if given.no_service:
        _say(by_hand)
        return
    if (why := units.unsupported()) is not None:
        _say(f"{by_hand}  # {why}")
        return
    if (unit := units.unit_check(joiner.module, files.settings)).mend is not None:
        raise JoinError(f"{files.name} has joined, and is not started: found {unit.found}; {unit.mend}")
    command = units.install_command(files.folder, joiner.module, files.name)
    try:
        units.install(command)
    except units.UnitError as error:
        raise JoinError(
            f"{files.name} has joined, and its service does not run yet: {error}. Mend it and run: {' '.join(command)}"
        ) from None
    _say(f"{files.name} runs as a service, also after a reboot: systemctl status headrace-{joiner.module}")


def _token(given: argparse.Namespace) -> str:
    """Return the join token: of a file, of standard input (`-`), or of the environment; never of the arguments, which others see."""
    if given.token_file is None:
        text = os.environ.get(TOKEN_VARIABLE, "")
        source = TOKEN_VARIABLE
    else:
        source, given_file = "--token-file", Path(given.token_file)
        try:
            with sys.stdin if given_file == Path("-") else given_file.open(encoding="utf-8") as file:
                text = file.read(_MAX_TOKEN_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            raise JoinError(f"--token-file {given.token_file} cannot be read: {error}") from None
    token = text.strip()
    if JOIN_TOKEN.parse(token) is None:
        found = "nothing" if not token else "something else"
        raise JoinError(f"{source}: found {found}; allowed: a join token (hrj_…): headrace {given.kind} join-token")
    return token


def _ca(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise JoinError(f"--ca-file {file} cannot be read: {error}") from None


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser(joiner: Joiner) -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=f"{joiner.program} join",
        description=f"Check this machine, and join it to an installation. The token is read from {TOKEN_VARIABLE} or --token-file.",
    )
    parser.set_defaults(kind=joiner.kind)
    parser.add_argument("--url", required=True, help="https://HOST[:PORT] of the managers' API.")
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="Certificates (PEM) by which it is verified.")
    parser.add_argument("--ca-sha256", metavar="HEX", help="Instead: SHA-256 of the certificates that it gives itself.")
    parser.add_argument("--token-file", metavar="FILE", help="File of the join token; - for standard input.")
    parser.add_argument("--name", help="Its name in the installation. Default: the host name.")
    parser.add_argument(
        "--dir", type=Path, default=Path("/etc/headrace"), help="Folder of its files. Default: %(default)s."
    )
    parser.add_argument("--check-only", action="store_true", help="Check the machine, and change nothing.")
    parser.add_argument("--again", action="store_true", help="Join with a new key, though it has joined before.")
    parser.add_argument("--no-service", action="store_true", help="Install no systemd unit; say how to start it.")
    joiner.options(parser)
    return parser
