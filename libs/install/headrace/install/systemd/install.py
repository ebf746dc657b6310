"""Installing the services' units on this machine, and removing them: first all steps, then their execution.

A run that was interrupted is mended by the next one; what is as it should be is left alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from headrace.common.contracts.port_filter import port_filter_table
from headrace.common.runtime.files import write_atomically
from headrace.install.errors import InstallError
from headrace.install.systemd.choice import NOBODY, chosen_services, unusable
from headrace.install.systemd.units import SOCKET, SYSTEM, SYSUSERS, ServiceName, optional, rendered, tmpfiles

COMMAND_S: Final = 60.0
START_S: Final = 180.0
_NOTHING_RUNS: Final = " not loaded"
"""Of a unit that is stopped and has no process: systemd has forgotten it."""
_DATA: Final = re.compile(r"^(?:StateDirectory=(\S+)\nStateDirectoryMode=.*|ReadWritePaths=(/\S+))$", re.MULTILINE)


class Host(Protocol):
    """The machine: its files below `root`, and commands."""

    root: Path

    def check(self) -> None:
        """Raise InstallError where units cannot be installed."""

    def has_table(self, name: str) -> bool:
        """Whether its packet filter has this nftables table (family `inet`)."""

    def run(self, command: Sequence[str], timeout_s: float) -> None:
        """Run a command. Raises InstallError with what it said."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do; `content` of a file to write, a file or folder to remove, or a command to run."""

    path: Path | None = None
    content: str | None = field(default=None, repr=False)
    command: tuple[str, ...] = ()
    unneeded_if: str = ""
    """What the command says where there is nothing for it to do, which is no error."""

    @property
    def text(self) -> str:
        """What it does, for people."""
        if self.command:
            return f"run {' '.join(self.command)}"
        return f"{'remove' if self.content is None else 'write'} {self.path}"


@dataclass(frozen=True, slots=True)
class Steps:
    """All that is to be done, in this order."""

    steps: tuple[Step, ...]
    units: tuple[str, ...]
    notes: tuple[str, ...] = ()


def install_steps(
    folder: Path,
    host: Host,
    *,
    python: Path,
    services: Sequence[ServiceName] = (),
    names: Mapping[ServiceName, str] = NOBODY,
    now: bool = False,
) -> Steps:
    """Return the steps that install the units of the services whose files are in `folder`; none where all is done.

    `services` and `names` say which; else all are meant whose settings are there, and the agent of this machine.
    Raises InstallError.
    """
    if (why := unusable(python)) is not None:
        raise InstallError(why)
    chosen, notes = chosen_services(folder, services, names)
    files = rendered(chosen, folder, python)
    write = {
        path: text
        for path, text in files.items()
        if not (host.root / path).is_file() or (host.root / path).read_text(encoding="utf-8") != text
    }
    stale = [
        path for one in chosen for path in optional(one.service) if path not in files and (host.root / path).exists()
    ]
    units = tuple(one.service.unit for one in chosen)
    disabled = [unit for unit in units if not (host.root / SYSTEM / "multi-user.target.wants" / unit).is_symlink()]
    commands = _commands(units, {*write, *stale}, disabled, host, now=now)
    return Steps(
        (
            *(Step(host.root / path, text) for path, text in write.items()),
            *(Step(host.root / path) for path in stale),
            *(Step(command=command) for command in commands),
        ),
        units,
        notes,
    )


def uninstall_steps(host: Host, *, services: Sequence[ServiceName] = (), delete_data: bool = False) -> Steps:
    """Return the steps that stop the services and remove their units; with `delete_data` also what they know."""
    there = [one for one in services or list(ServiceName) if (host.root / SYSTEM / one.unit).exists()]
    steps, notes = [], []
    for one in there:
        path = host.root / SYSTEM / one.unit
        data = _data_of(path, host)
        units = [SOCKET, one.unit] if one is ServiceName.APPPROXY else [one.unit]
        steps.append(Step(command=("systemctl", "disable", "--now", *units)))
        if one is ServiceName.AGENT and delete_data:
            ends = ("systemctl", "kill", "--kill-who=all", "--signal=SIGKILL", one.unit)
            steps.append(Step(command=ends, unneeded_if=_NOTHING_RUNS))
        owned = [path, path.with_name(f"{one.unit}.d"), host.root / tmpfiles(one)]
        owned += [host.root / SYSTEM / SOCKET] if one is ServiceName.APPPROXY else []
        steps += [Step(each) for each in owned if each.exists()]
        steps += [Step(each) for each in data if delete_data and each.exists()]
        notes += [f"{each} is left: the data of the {one}" for each in data if not delete_data and each.exists()]
        if one is ServiceName.AGENT and not delete_data:
            notes.append("replicas of this machine run on; to move them first: headrace agent drain NAME --wait")
        notes += _filters_left(data, host) if one is ServiceName.AGENT else []
    if there and not any((host.root / SYSTEM / one.unit).exists() for one in ServiceName if one not in there):
        steps += [Step(host.root / SYSUSERS)] if (host.root / SYSUSERS).exists() else []
        notes.append("accounts (headrace-…) and the installation's folder are left")
    if delete_data and not there:
        notes.append(
            "data that an earlier uninstall left was named then, and is not found without its unit: remove it by hand"
        )
    if steps:
        steps.append(Step(command=("systemctl", "daemon-reload")))
    return Steps(tuple(steps), tuple(one.unit for one in there), tuple(notes))


def perform(steps: Iterable[Step], host: Host, taken: Callable[[Step], None] = lambda _: None) -> None:
    """Take the steps one after another, and tell each before it. Raises InstallError at the first that fails; then the
    same can be run again.
    """
    host.check()
    for step in steps:
        taken(step)
        if step.command:
            _run(step, host)
            continue
        assert step.path is not None  # noqa: S101 - a step is one of both
        try:
            _apply(step.path, step.content)
        except OSError as error:
            raise InstallError(f"{step.path}: {error.strerror or error}") from None


class ThisMachine:
    """The machine on which this runs."""

    root = Path("/")

    def check(self) -> None:
        """Raise InstallError without root's rights, or without systemd."""
        if os.geteuid() != 0:
            raise InstallError(f"found uid {os.geteuid()}; allowed: root, who may install units (sudo)")
        if not Path("/run/systemd/system").is_dir():
            raise InstallError("systemd does not run on this machine; allowed: a machine that it started")

    def has_table(self, name: str) -> bool:
        """Whether its packet filter has this nftables table; False where nft cannot tell."""
        command = ("nft", "list", "table", "inet", name)
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def run(self, command: Sequence[str], timeout_s: float) -> None:
        """Run a command. Raises InstallError with the last line that it said, or after `timeout_s`."""
        said = f"{' '.join(command)}"
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise InstallError(
                f"{said}: not done after {timeout_s:g} s; systemctl status says what it waits for"
            ) from None
        except OSError as error:
            raise InstallError(f"{said}: {error.strerror}") from None
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
            why = "; why: journalctl -u 'headrace-*' -n 40" if timeout_s == START_S else ""
            raise InstallError(f"{said}: {lines[0]}{why}")


def _run(step: Step, host: Host) -> None:
    try:
        host.run(step.command, START_S if step.command[1] in {"start", "restart"} else COMMAND_S)
    except InstallError as error:
        if not step.unneeded_if or step.unneeded_if not in str(error):
            raise


def _commands(
    units: Sequence[str], changed: set[str], disabled: Sequence[str], host: Host, *, now: bool
) -> list[tuple[str, ...]]:
    commands: list[tuple[str, ...]] = []
    if SYSUSERS in changed:
        commands.append(("systemd-sysusers", f"/{SYSUSERS}"))
    commands += [("systemd-tmpfiles", "--create", f"/{path}") for path in sorted(changed) if "tmpfiles.d" in path]
    if changed:
        commands.append(("systemctl", "daemon-reload"))
    if disabled:
        commands.append(("systemctl", "enable", *disabled))
    if not now:
        return commands
    if f"{SYSTEM}/{SOCKET}" in changed and (host.root / SYSTEM / SOCKET).exists():
        commands.append(("systemctl", "stop", ServiceName.APPPROXY.unit, SOCKET))
    again = [unit for unit in units if any(path.startswith(f"{SYSTEM}/{unit}") for path in changed)]
    if again:
        commands.append(("systemctl", "restart", *again))
    if others := [unit for unit in units if unit not in again]:
        commands.append(("systemctl", "start", *others))
    return commands


def _data_of(unit: Path, host: Host) -> list[Path]:
    """Return the folder of data that the installed unit has."""
    below, elsewhere = next(iter(_DATA.findall(unit.read_text(encoding="utf-8"))), ("", ""))
    if not below and not elsewhere:
        return []
    return [host.root / (f"var/lib/{below}" if below else elsewhere.lstrip("/"))]


def _filters_left(data: Sequence[Path], host: Host) -> list[str]:
    """Say which packet filter stays while replicas of the agent run: they stay closed, and nothing else will remove it."""
    tables = [port_filter_table(Path("/") / folder.relative_to(host.root)) for folder in data]
    return [
        f"while replicas run their ports stay closed (replica_ports_from); once none does: nft delete table inet {table}"
        for table in tables
        if host.has_table(table)
    ]


def _apply(path: Path, content: str | None) -> None:
    if content is not None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomically(path, content)
        path.chmod(0o644)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
