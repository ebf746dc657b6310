"""Checks of a machine before it joins: what passes, and what is said of what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

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
from headrace.common.joining.checks import Check, clock_check, table, version_check

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
PORTS = PortRange(20000, 20999)
GOOD = [
    kernel_check("Linux", "6.1.0-13-amd64", "x86_64", supported=True),
    kernel_check("Linux", "4.18.0-513.el8", "aarch64", supported=True),
    control_groups_check(unified=True, memory=False),
    control_groups_check(unified=False, memory=True),
    runtime_check("process", engine=None, iptables=False),
    runtime_check("docker", engine="", iptables=True),
    ports_check(PORTS, (32768, 60999), 8091, taken=False),
    ports_check(PORTS, None, 8091, taken=False),
    gpu_check(GpuFacts(8, "550.54", 8), simulated=0),
    gpu_check(GpuFacts(0, "550.54", 1), simulated=0),
    gpu_check(GpuFacts(0, None, 0), simulated=0),
    gpu_check(GpuFacts(4, None, 0), simulated=2),
    disk_check("/data", 2**30),
    clock_check(NOW, NOW + timedelta(seconds=60)),
    clock_check(None, NOW),
    version_check("1.0", "1.0"),
]
BAD = [
    (kernel_check("Linux", "3.10.0", "x86_64", supported=True), "newer Linux kernel"),
    (kernel_check("Darwin", "23.1", "arm64", supported=True), "newer Linux kernel"),
    (kernel_check("Linux", "6.1.0", "riscv64", supported=False), "one of these processors"),
    (control_groups_check(unified=False, memory=False), "cgroup_enable=memory"),
    (runtime_check("docker", engine="Permission denied", iptables=True), "--docker-host"),
    (runtime_check("docker", engine="", iptables=False), "install iptables"),
    (ports_check(PORTS, (1024, 65535), 8091, taken=False), "ip_local_port_range"),
    (ports_check(PORTS, None, 8091, taken=True), "--admin-port"),
    (gpu_check(GpuFacts(8, None, 0), simulated=0), "install NVIDIA's driver"),
    (gpu_check(GpuFacts(8, "550.54", 7), simulated=0), "dmesg"),
    (disk_check("/data", 2**29), "free 0.5 GiB"),
    (clock_check(NOW, NOW + timedelta(seconds=61)), "chrony"),
    (clock_check(NOW, NOW - timedelta(hours=2)), "2026-11-30T10:00:00Z"),
    (version_check("1.1", "1.0"), "headrace agent join-token"),
]


@pytest.mark.parametrize("check", GOOD, ids=lambda check: f"{check.name}: {check.found}")
def test_a_machine_that_will_do_passes(check: Check) -> None:
    assert check.mend is None


@pytest.mark.parametrize(("check", "said"), BAD, ids=[f"{check.name}: {check.found}" for check, _ in BAD])
def test_what_lacks_is_said_with_how_to_mend_it(check: Check, said: str) -> None:
    assert check.mend is not None
    assert said in check.mend


def test_the_table_has_a_row_for_each_check() -> None:
    lines = table([GOOD[0], BAD[0][0]])
    assert lines[0].split() == ["CHECK", "FOUND", "NEEDED", "TO", "DO"]
    assert lines[1].endswith("ok")
    assert lines[2].endswith("install a newer Linux kernel")
    assert len({line.index("Linux 4.18") for line in lines[1:]}) == 1
