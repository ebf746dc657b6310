"""Which services of an installation's folder run on this machine, and whether they could. Reads, and changes nothing."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import islice
from pathlib import Path
from typing import Any, Final

from headrace.install.errors import InstallError
from headrace.install.plan import MAX_AGENTS
from headrace.install.systemd.units import CA, Chosen, ServiceName, needed

_OTHERS: Final = {ServiceName.MANAGER: "manager", ServiceName.APPPROXY: "proxy-1", ServiceName.AUTOSCALER: "autoscaler"}
"""Names of the settings of all services but agents."""
_HIDDEN: Final = ("/root", "/home", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - units have a private one
"""Folders that the units hide from the services."""


def chosen_services(folder: Path, services: Sequence[ServiceName], agent: str) -> tuple[list[Chosen], tuple[str, ...]]:
    """Return the services to install, with their settings, and notes about what was left out. Raises InstallError."""
    named = [one for one in _OTHERS if one in services]
    others = named if services else [one for one in _OTHERS if (folder / f"settings/{_OTHERS[one]}.toml").exists()]
    chosen = [_read(folder, one, _OTHERS[one]) for one in others]
    if services and ServiceName.AGENT not in services and not agent:
        return chosen, ()
    agents = _agents(folder)
    if agent and agent not in agents:
        raise InstallError(f"--agent: found {agent}; allowed: {_listed(agents) or f'one with settings in {folder}'}")
    here = [agent] if agent else _here(folder, agents, alone=not others)
    if len(here) == 1:
        return [*chosen, _read(folder, ServiceName.AGENT, here[0])], ()
    if ServiceName.AGENT in services or not chosen:
        found = f"the agents {_listed(agents)}" if agents else "no settings of a service"
        raise InstallError(
            f"{folder}: found {found}; allowed: --agent NAME of this machine, or a folder of headrace init"
        )
    return chosen, ((f"no agent is installed here; --agent NAME for one of {_listed(agents)}",) if agents else ())


def _agents(folder: Path) -> list[str]:
    files = sorted(islice((folder / "settings").glob("*.toml"), MAX_AGENTS + len(_OTHERS)))
    return [path.stem for path in files if path.stem not in _OTHERS.values()]


def _here(folder: Path, agents: list[str], *, alone: bool) -> list[str]:
    """Return the agents that run on this machine: the only one, beside no other service; else those at loopback."""
    if alone and len(agents) == 1:
        return agents
    return [name for name in agents if _is_loopback(str(_settings(folder, name).get("advertise_host", "127.0.0.1")))]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(folder: Path, service: ServiceName, name: str) -> Chosen:
    missing = [path for path in needed(service, name) if not (folder / path).is_file()]
    if missing == [CA] and not (settings := _settings(folder, name)).get("ca_file"):
        return Chosen(service, name, settings, ca=False)
    if missing:
        raise InstallError(
            f"{folder} lacks {_listed(missing)}, which the {service} needs; allowed: a folder of headrace init"
        )
    return Chosen(service, name, _settings(folder, name))


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
