"""Which services of an installation's folder run on this machine, and whether they could. Reads, and changes nothing."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from headrace.install.errors import InstallError
from headrace.install.plan import MAX_AGENTS
from headrace.install.systemd.units import CA, Chosen, ServiceName, needed

_OF_INIT: Final = {
    ServiceName.MANAGER: "manager",
    ServiceName.APPPROXY: "proxy-1",
    ServiceName.AUTOSCALER: "autoscaler",
}
"""Names of the settings that `headrace init` makes of all services but agents."""
NAMED: Final = (ServiceName.APPPROXY, ServiceName.AUTOSCALER, ServiceName.AGENT)
"""Services that have names of their own, by which they join."""
NOBODY: Final[Mapping[ServiceName, str]] = MappingProxyType({})
_TELLING: Final = (
    (ServiceName.MANAGER, {"database_url"}),
    (ServiceName.APPPROXY, {"listen_port", "listen_host", "advertise_url"}),
    (ServiceName.AGENT, {"folder_access", "folders_root", "runtime", "advertise_host", "bind_address"}),
)
"""Settings by which a file is known as one of a service: each has some of these, and an autoscaler none."""
_MAX_FILES: Final = MAX_AGENTS + 1000
_HIDDEN: Final = ("/root", "/home", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - units have a private one
"""Folders that the units hide from the services."""


def chosen_services(
    folder: Path, services: Sequence[ServiceName], names: Mapping[ServiceName, str] = NOBODY
) -> tuple[list[Chosen], tuple[str, ...]]:
    """Return the services to install, with their settings, and notes about what was left out. Raises InstallError."""
    found = _found(folder)
    for service, name in names.items():
        if name not in found[service]:
            allowed = _listed(list(found[service])) or f"one with settings in {folder}"
            raise InstallError(f"--{service}: found {name}; allowed: {allowed}")
    wanted = [one for one in _OF_INIT if one in (*services, *names) or (not services and found[one])]
    chosen = [_read(folder, one, names.get(one) or _only(folder, one, found[one])) for one in wanted]
    agents = found[ServiceName.AGENT]
    if services and ServiceName.AGENT not in (*services, *names):
        return chosen, ()
    agent = names.get(ServiceName.AGENT)
    here = [agent] if agent else _here(agents, alone=not chosen)
    if len(here) == 1:
        return [*chosen, _read(folder, ServiceName.AGENT, here[0])], ()
    if ServiceName.AGENT in services or not chosen:
        said = f"the agents {_listed(list(agents))}" if agents else "no settings of a service"
        raise InstallError(
            f"{folder}: found {said}; allowed: --agent NAME of this machine, or a folder of headrace init"
        )
    return chosen, ((f"no agent is installed here; --agent NAME for one of {_listed(list(agents))}",) if agents else ())


_Settings = Mapping[str, Any]


def _found(folder: Path) -> dict[ServiceName, dict[str, _Settings]]:
    """Return the settings in the folder, by service and name."""
    found: dict[ServiceName, dict[str, _Settings]] = {service: {} for service in ServiceName}
    for path in sorted(islice((folder / "settings").glob("*.toml"), _MAX_FILES)):
        settings = _settings(folder, path.stem)
        service = next((one for one, some in _TELLING if some & settings.keys()), ServiceName.AUTOSCALER)
        found[service][path.stem] = settings
    return found


def _only(folder: Path, service: ServiceName, names: Collection[str]) -> str:
    """Return the name that is meant where none is given: the only one, else that of `headrace init`."""
    usual = _OF_INIT[service]
    if service not in NAMED or usual in names or not names:
        return usual
    if len(names) > 1:
        raise InstallError(
            f"{folder}: found {_listed(sorted(names))} for the {service}; allowed: --{service} NAME of this machine"
        )
    return next(iter(names))


def _here(agents: Mapping[str, _Settings], *, alone: bool) -> list[str]:
    """Return the agents that run on this machine: the only one, beside no other service; else those at loopback."""
    if alone and len(agents) == 1:
        return list(agents)
    return [name for name, one in agents.items() if _is_loopback(str(one.get("advertise_host", "127.0.0.1")))]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(folder: Path, service: ServiceName, name: str) -> Chosen:
    missing = [path for path in needed(service, name) if not (folder / path).is_file()]
    settings = _settings(folder, name) if missing in ([], [CA]) else {}
    if missing and (settings.get("ca_file") or missing != [CA]):
        raise InstallError(
            f"{folder} lacks {_listed(missing)}, which the {service} needs; allowed: a folder of headrace init"
        )
    if service is ServiceName.AGENT and settings.get("runtime") == "process" and settings.get("replica_ports_from"):
        raise InstallError(
            f'{folder}/settings/{name}.toml: found replica_ports_from; allowed with runtime = "process": none, since the '
            "unit's account, which is that of replicas, has no right to set packet filters"
        )
    return Chosen(service, name, settings, ca=not missing)


def _settings(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"settings/{name}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InstallError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise InstallError(f"{path}: {error}; allowed: TOML") from None


def unusable(python: Path) -> str | None:
    """Return why the services' accounts could not run the interpreter."""
    for path in dict.fromkeys((python, python.resolve())):
        hidden = next((one for one in _HIDDEN if path.is_relative_to(one)), None)
        if hidden is not None:
            return f"{path}: found it below {hidden}, which units hide from services; allowed: an environment as in /opt/headrace"
        for part in (path, *path.parents):
            if not part.stat().st_mode & 0o001:
                return (
                    f"{path}: accounts of the services may not enter {part}; allowed: an environment that all may use"
                )
    return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
