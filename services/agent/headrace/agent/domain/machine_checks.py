"""What a machine needs before an agent runs there: each fact that was found, judged. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from headrace.agent.domain.ports import PortRange
from headrace.common.joining.checks import Check

MIN_KERNEL: Final = (4, 18)
MIN_FREE_BYTES: Final = 2**30
_GIB: Final = 2**30
_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """NVIDIA GPUs of a machine: on its bus, and as the driver shows them."""

    on_bus: int
    driver: str | None
    shown: int


def kernel_check(system: str, release: str, machine: str, *, supported: bool) -> Check:
    """Judge operating system, kernel and processor."""
    needed = "Linux 4.18 or newer, x86_64 or aarch64"
    found = f"{system} {release}, {machine}"
    numbers = tuple(int(number) for number in _NUMBER.findall(release)[:2])
    if system != "Linux" or numbers < MIN_KERNEL:
        return Check("kernel", found, needed, "install a newer Linux kernel")
    return Check("kernel", found, needed, None if supported else "use a machine with one of these processors")


def control_groups_check(*, unified: bool, memory: bool) -> Check:
    """Judge control groups: they bound the memory of replicas."""
    found = "version 2" if unified else "version 1" if memory else "no memory controller"
    mend = None if unified or memory else "boot with cgroup_enable=memory, or mount /sys/fs/cgroup"
    return Check("control groups", found, "version 1 or 2, with memory", mend)


def runtime_check(runtime: str, *, engine: str | None, iptables: bool) -> Check:
    """Judge the runtime of replicas. `engine`: why Docker does not answer, empty if it does; None: not asked."""
    if runtime == "process":
        return Check("runtime", "processes, without isolation", "Docker, or processes (--runtime process)")
    needed = "Docker that answers, iptables"
    if engine:
        return Check(
            "runtime",
            f"Docker: {engine}",
            needed,
            "install and start Docker, name its socket (--docker-host), or --runtime process",
        )
    if not iptables:
        return Check("runtime", "Docker, no iptables", needed, "install iptables: it keeps tenants' containers apart")
    return Check("runtime", "Docker answers", needed)


def ports_check(ports: PortRange, outgoing: tuple[int, int] | None, admin_port: int, *, taken: bool) -> Check:
    """Judge the ports of replicas, and the one of the agent's own page."""
    needed = f"{ports} not for outgoing connections, {admin_port} free"
    if outgoing is not None and outgoing[0] <= ports.last and ports.first <= outgoing[1]:
        found = f"outgoing connections use {outgoing[0]}-{outgoing[1]}"
        return Check("ports", found, needed, "sysctl -w net.ipv4.ip_local_port_range='32768 60999'")
    if taken:
        return Check(
            "ports",
            f"{admin_port} is in use",
            needed,
            "stop what uses it (another agent?), or name another: --admin-port",
        )
    return Check("ports", "free", needed)


def gpu_check(facts: GpuFacts, *, simulated: int) -> Check:
    """Judge the driver of GPUs; a machine without GPUs is one for CPU work."""
    needed = "the driver, where there are GPUs"
    if simulated:
        return Check("GPU driver", f"{simulated} simulated GPUs", needed)
    if facts.driver is not None:
        mend = "see dmesg: the driver does not show all" if facts.shown < facts.on_bus else None
        return Check(
            "GPU driver", f"{facts.driver}, {facts.shown} of {max(facts.on_bus, facts.shown)} GPUs", needed, mend
        )
    if facts.on_bus:
        return Check(
            "GPU driver", f"none, and {facts.on_bus} NVIDIA GPUs", needed, "install NVIDIA's driver, and reboot"
        )
    return Check("GPU driver", "no NVIDIA GPU: CPU only", needed)


def disk_check(folder: str, free_bytes: int) -> Check:
    """Judge the free room where the agent keeps its data."""
    mend = (
        None
        if free_bytes >= MIN_FREE_BYTES
        else f"free {(MIN_FREE_BYTES - free_bytes) / _GIB:.1f} GiB, or name another: --data-dir"
    )
    return Check("disk", f"{free_bytes / _GIB:.1f} GiB free for {folder}", f"{MIN_FREE_BYTES / _GIB:.0f} GiB", mend)
