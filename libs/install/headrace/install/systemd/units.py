"""Files for systemd that an installation's services need on one machine: units, accounts, folders.

`unit_files/` (`deploy/systemd`) has them for an installation in /etc/headrace and an environment in /opt/headrace; they can be
used as they are there. For other places, and other names of agents, these words are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from headrace.install.errors import InstallError

SYSTEM: Final = "etc/systemd/system"
SYSUSERS: Final = "etc/sysusers.d/headrace.conf"
SOCKET: Final = "headrace-appproxy.socket"
PROCESS_RUNTIME: Final = "headrace-agent.service.d/process-runtime.conf"
_UNITS: Final = Path(__file__).parent / "unit_files"
_FOLDER, _PYTHON, _STATE = "/etc/headrace", "/opt/headrace/bin/python", "/var/lib/"
CA: Final = "tls/ca.crt"
_CA_LINES: Final = re.compile(r"^(?:LoadCredential=ca\.crt:.*|Environment=\w+_CA_FILE=%d/ca\.crt)\n", re.MULTILINE)
_CREDENTIAL: Final = re.compile(rf"^LoadCredential=[^:\n]+:{_FOLDER}/(\S+)$", re.MULTILINE)
_STATE_LINES: Final = re.compile(r"^StateDirectory=.*\nStateDirectoryMode=(\d+)\n", re.MULTILINE)
_ACCOUNT: Final = re.compile(r"^(User|Group)=(\S+)$", re.MULTILINE)
_PATH: Final = re.compile(r"/[A-Za-z0-9/._+@-]+")


class ServiceName(StrEnum):
    """The four services."""

    MANAGER = "manager"
    APPPROXY = "appproxy"
    AUTOSCALER = "autoscaler"
    AGENT = "agent"

    @property
    def unit(self) -> str:
        """Name of its unit."""
        return f"headrace-{self}.service"


_NAMED: Final = {
    ServiceName.APPPROXY: ("proxy-1",),
    ServiceName.AGENT: ("agent-1",),
    ServiceName.AUTOSCALER: ("autoscaler.toml", "autoscaler.creds"),
}
"""Services whose files have the name of one of them, and the words of `unit_files/` that begin with it."""
_STATE_SETTING: Final = {
    ServiceName.MANAGER: "folders_root",
    ServiceName.APPPROXY: "data_dir",
    ServiceName.AUTOSCALER: "data_dir",
    ServiceName.AGENT: "data_dir",
}
"""Setting with the folder in which a service keeps what it knows."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Service that gets a unit: its name among those of its kind, and its settings from the installation's folder."""

    service: ServiceName
    name: str
    settings: Mapping[str, Any]
    ca: bool = True
    """Whether it verifies servers by certificates of the folder; else by the system's authorities."""

    @property
    def processes(self) -> bool:
        """An agent whose replicas are processes."""
        return self.service is ServiceName.AGENT and self.settings.get("runtime") == "process"


def needed(service: ServiceName, name: str = "") -> list[str]:
    """Return the files of the installation's folder that the service's unit hands to it, its settings first."""
    return _CREDENTIAL.findall(_named(_unit(service.unit), service, name))


def rendered(chosen: Sequence[Chosen], folder: Path, python: Path) -> dict[str, str]:
    """Return path below / → content of every file for systemd. Raises InstallError for a path that no unit can have."""
    for path, what in ((folder, "the installation's folder"), (python, "the interpreter")):
        _check(str(path), what)
    files = {SYSUSERS: _unit("headrace.sysusers.conf")}
    for one in chosen:
        text = _named(_unit(one.service.unit), one.service, one.name)
        text = text if one.ca else _CA_LINES.sub("", text)
        state = str(one.settings.get(_STATE_SETTING.get(one.service, ""), ""))
        if state:
            _check(state, f"{_STATE_SETTING[one.service]} of the {one.service}")
            text, made = _with_state(text, state, _owner(one, text))
            files |= {tmpfiles(one.service): made} if made else {}
        files[f"{SYSTEM}/{one.service.unit}"] = text.replace(_FOLDER, str(folder)).replace(_PYTHON, str(python))
        if one.processes:
            files[f"{SYSTEM}/{PROCESS_RUNTIME}"] = _unit(PROCESS_RUNTIME)
        if one.service is ServiceName.APPPROXY:
            files[f"{SYSTEM}/{SOCKET}"] = _socket(one.settings)
    return files


def tmpfiles(service: ServiceName) -> str:
    """Return the path below / of the file that has the service's folder of data made, where systemd does not by itself."""
    return f"etc/tmpfiles.d/headrace-{service}.conf"


def optional(service: ServiceName) -> list[str]:
    """Return the files below / that the service may have had with other settings."""
    return [tmpfiles(service), *([f"{SYSTEM}/{PROCESS_RUNTIME}"] if service is ServiceName.AGENT else [])]


def _unit(name: str) -> str:
    return (_UNITS / name).read_text(encoding="utf-8")


def _named(text: str, service: ServiceName, name: str) -> str:
    for word in _NAMED.get(service, ()) if name else ():
        text = text.replace(word, f"{name}{Path(word).suffix}")
    return text


def _owner(one: Chosen, text: str) -> tuple[str, str]:
    if one.processes:
        text = _unit(PROCESS_RUNTIME)
    found = dict(_ACCOUNT.findall(text))
    return found.get("User", "root"), found.get("Group", "root")


def _with_state(text: str, state: str, owner: tuple[str, str]) -> tuple[str, str]:
    """Return the unit with its folder of state, and the line of tmpfiles.d(5) that makes one outside of /var/lib."""
    if state.startswith(_STATE):
        line = f"StateDirectory={state.removeprefix(_STATE)}\nStateDirectoryMode=\\1\n"
        return _STATE_LINES.sub(line, text), ""
    mode = _STATE_LINES.search(text)
    assert mode is not None  # noqa: S101 - each unit of a service with such a setting has one
    user, group = owner
    return _STATE_LINES.sub(f"ReadWritePaths={state}\n", text), f"d {state} {mode[1]} {user} {group} -\n"


def _socket(settings: Mapping[str, Any]) -> str:
    host, port = settings.get("listen_host", "0.0.0.0"), settings.get("listen_port", 8000)
    where = f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return _unit(SOCKET).replace("ListenStream=0.0.0.0:8000", f"ListenStream={where}")


def _check(path: str, what: str) -> None:
    if not _PATH.fullmatch(path):
        raise InstallError(
            f"{what}: found {ascii(path)[1:-1]}; allowed in a unit: an absolute path of letters, digits and ._+@-"
        )
