"""`headrace-agent join`: checks a machine, and joins it to an installation."""

from __future__ import annotations

import argparse
import platform
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from headrace.agent.domain.machine_checks import (
    GpuFacts,
    control_groups_check,
    disk_check,
    gpu_check,
    kernel_check,
    ports_check,
    runtime_check,
)
from headrace.agent.domain.ports import PortRange
from headrace.agent.machine import architecture
from headrace.agent.plan_key import NAME as KEY_NAME
from headrace.agent.settings import Settings
from headrace.common.joining.checks import Check, existing, is_taken
from headrace.common.joining.command import Joiner, own_address
from headrace.common.joining.files import SettingValue
from headrace.common.joining.options import absolute_path
from headrace.common.runtime.disk import free_bytes

_TIMEOUT_S: Final = 5.0
_PORTS: Final = PortRange(20000, 20999)
_NVIDIA: Final = "0x10de"
_DISPLAY: Final = "0x03"
"""Class of display controllers on PCI, which GPUs are."""


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runtime", choices=("docker", "process"), default="docker", help="Default: %(default)s.")
    parser.add_argument(
        "--address", help="Where app-proxies reach this machine's replicas. Default: its address towards the manager."
    )
    parser.add_argument(
        "--data-dir",
        type=absolute_path,
        default=Path("/var/lib/headrace/agent"),
        help="What the agent keeps. Default: %(default)s.",
    )
    parser.add_argument(
        "--folders-root",
        type=absolute_path,
        help="Where the managers' storage of model folders is mounted. Default: they are fetched.",
    )
    parser.add_argument("--docker-host", default="unix:///var/run/docker.sock", help="Default: %(default)s.")
    parser.add_argument("--admin-port", type=int, default=8091, help="Of its own page. Default: %(default)s.")
    parser.add_argument("--simulated-gpus", type=int, default=0, help="Offer so many GPUs that do not exist.")


def _checks(given: argparse.Namespace) -> Sequence[Check]:
    given.address = given.address or own_address(given.url)
    return (
        kernel_check(platform.system(), platform.release(), platform.machine(), supported=_supported()),
        control_groups_check(unified=Path("/sys/fs/cgroup/cgroup.controllers").exists(), memory=_memory_group()),
        runtime_check(
            given.runtime,
            engine=_docker_answer(given.docker_host) if given.runtime == "docker" else None,
            iptables=any(shutil.which(tool) for tool in ("iptables", "iptables-nft", "iptables-legacy")),
        ),
        ports_check(_PORTS, _outgoing_ports(), given.admin_port, taken=is_taken(given.admin_port)),
        gpu_check(GpuFacts(_pci_gpus(), *_driver()), simulated=given.simulated_gpus),
        disk_check(str(given.data_dir), free_bytes(existing(given.data_dir))),
    )


def _settings(given: argparse.Namespace, told: Mapping[str, Any]) -> Mapping[str, SettingValue | None]:
    docker: dict[str, SettingValue] = {"docker_host": given.docker_host} if given.runtime == "docker" else {}
    root = given.folders_root or told.get("folders_root")
    folders: dict[str, SettingValue] = {"folders_root": str(root)} if root else {}
    gpus: dict[str, SettingValue] = {"simulated_gpus": given.simulated_gpus} if given.simulated_gpus else {}
    return {
        "runtime": given.runtime,
        "data_dir": str(given.data_dir),
        "folder_access": "shared" if given.folders_root else "fetch",
        "advertise_host": given.address,
        "bind_address": given.address,
        "port_range": str(_PORTS),
        "admin_port": given.admin_port,
        **folders,
        **docker,
        **gpus,
    }


def _forget(given: argparse.Namespace) -> None:
    (given.data_dir / KEY_NAME).unlink(missing_ok=True)


JOINER: Final = Joiner("agent", "headrace-agent", "agent", _options, _checks, _settings, Settings, forget=_forget)


def _supported() -> bool:
    try:
        architecture()
    except ValueError:
        return False
    return True


def _memory_group() -> bool:
    with suppress(OSError):
        return any(
            line.split()[0] == "memory" for line in Path("/proc/cgroups").read_text(encoding="ascii").splitlines()
        )
    return False


def _docker_answer(host: str) -> str:
    """Return "" if the engine answers on its socket, else why not."""
    if not host.startswith("unix://"):
        return ""  # another machine's, which the agent reaches by itself
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(host.removeprefix("unix://"))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            answer = connection.recv(100)
    except OSError as error:
        return error.strerror or str(error)
    return "" if b" 200 " in answer.partition(b"\r\n")[0] else "it answers with an error"


def _outgoing_ports() -> tuple[int, int] | None:
    with suppress(OSError, ValueError):
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
        return int(first), int(last)
    return None


def _pci_gpus() -> int:
    found = 0
    for device in Path("/sys/bus/pci/devices").glob("*"):
        with suppress(OSError):
            vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text()
            found += vendor == _NVIDIA and kind.startswith(_DISPLAY)
    return found


def _driver() -> tuple[str | None, int]:
    """Return the version of NVIDIA's driver, None without one, and the number of GPUs that it shows."""
    import pynvml  # noqa: PLC0415 - 2 MB

    try:
        pynvml.nvmlInit()
        try:
            return str(pynvml.nvmlSystemGetDriverVersion()), int(pynvml.nvmlDeviceGetCount())
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None, 0
