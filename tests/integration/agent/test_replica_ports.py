"""Replica ports that are closed to all but the app-proxies: hosts in network namespaces, a real agent, real packets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from headrace.common.contracts.messages.plans import KernelSpec, NodePlan
from tests.integration.agent.conftest import make_spec
from tests.support.network import Host, network
from tests.support.wait import eventually, until
from tests.support.worlds.installation import running

pytestmark = pytest.mark.root
REPLICA, CONTAINER = 20_000, 20_001
"""Ports: of a replica that is a process, and one that is published from a container."""


class Machine:
    """A host with an agent that has its plan on disk and no bus, and who may try to reach its replicas."""

    def __init__(self, root: Path, hosts: dict[str, Host]) -> None:
        self.root = root
        self.data = root / "agent"
        self.hosts = hosts
        self.names = root / "hosts"
        self.own = hosts["gpu"]

    def name_proxy(self, host: str) -> None:
        """Let the name `proxy.example` stand for this host, on the agent's host."""
        self.names.write_text(f"127.0.0.1 localhost\n{self.hosts[host].address} proxy.example\n")

    def plan(self, *specs: KernelSpec) -> None:
        """Put a plan on the agent's disk."""
        self.data.mkdir(exist_ok=True)
        (self.data / "plan.json").write_bytes(NodePlan(agent_id="gpu-1", generation=1, kernels=specs).encode())

    @contextmanager
    def agent(self, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        values = {
            "ID": "gpu-1",
            "NATS_URL": "nats://127.0.0.1:1",
            "RUNTIME": "process",
            "DATA_DIR": str(self.data),
            "FOLDERS_ROOT": str(self.root),
            "ADVERTISE_HOST": self.own.address,
            "BIND_ADDRESS": self.own.address,
            "ADMIN_HOST": self.own.address,
            "PORT_RANGE": f"{REPLICA}-{REPLICA}",
            "FIRST_SYNC": "PT0.1S",
            "DISK_RESERVE_BYTES": "0",
            "REPLICA_PORTS_FROM": '["proxy.example"]',
            **settings,
        }
        environ = {f"HEADRACE_AGENT_{name}": value for name, value in values.items()}
        mounted = f'mount --bind "{self.names}" /etc/hosts && exec "$@"'
        words = ("unshare", "--mount", "sh", "-c", mounted, "sh", sys.executable, "-m", "headrace.agent")
        with running(*self.own.command(*words), log=self.root / "agent.log", environ=environ) as process:
            yield process

    def said_after(self, event: str) -> str:
        """Return what the agent's log has after this event; nothing if it is not there."""
        _, found, after = (self.root / "agent.log").read_text().rpartition(event)
        return after if found else ""

    def health(self) -> str | None:
        """Return what the agent has written down of its only replica's health."""
        for record in (self.data / "kernels").glob("*/record.json"):
            health = json.loads(record.read_text())["health"]
            return str(health["status"]) if health else None
        return None

    def end_replicas(self) -> None:
        """Kill what still runs in the host's namespace: replicas outlive their agent."""
        namespace = os.fstat(self.own.file).st_ino
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended
                if (process / "ns/net").stat().st_ino == namespace:
                    os.kill(int(process.name), signal.SIGKILL)

    def nft(self, *words: str) -> str:
        done = subprocess.run(self.own.command("nft", *words), capture_output=True, text=True, timeout=20, check=True)
        return done.stdout


def reaches(host: Host, address: str, port: int) -> bool:
    """Whether a connection from the host to this port opens; packets that are dropped are waited for a moment."""
    with host.entered():
        try:
            socket.create_connection((address, port), timeout=0.5).close()
        except OSError:
            return False
        return True


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with network("gpu", "proxy", "other") as hosts:
        made = Machine(tmp_path, hosts)
        made.name_proxy("proxy")
        try:
            yield made
        finally:
            made.end_replicas()


def replica() -> KernelSpec:
    command = (sys.executable, "-m", "http.server", "--bind", "0.0.0.0", "8000")
    check = {"path": "/", "initial_delay": 0, "interval": 0.5, "max_wait_time": 5, "max_retries": 10}
    return make_spec(command=command, health_check=check, slots={"cpu": 1, "mem": "512m"})


async def test_replica_ports_are_open_to_the_app_proxies_alone_and_stay_so(machine: Machine) -> None:
    proxy, other, own = machine.hosts["proxy"], machine.hosts["other"], machine.own.address
    machine.plan(replica())
    with machine.agent():
        await eventually(lambda: reaches(proxy, own, REPLICA), within_s=60)
        assert not reaches(other, own, REPLICA)
        await eventually(lambda: machine.health() == "healthy")  # the agent asks the same port

        def open_without_rules() -> bool:
            machine.nft("flush", "ruleset")
            return reaches(other, own, REPLICA)

        await eventually(open_without_rules)
        await eventually(lambda: not reaches(other, own, REPLICA), within_s=60, every_s=0.5)
        assert reaches(proxy, own, REPLICA)
        machine.name_proxy("other")
        await eventually(lambda: reaches(other, own, REPLICA), within_s=60, every_s=0.5)
        assert not reaches(proxy, own, REPLICA)
    machine.names.write_text("127.0.0.1 localhost\n")
    with machine.agent():
        await eventually(lambda: "replica_ports_changed" in machine.said_after("source_unresolved"), within_s=60)
        assert reaches(other, own, REPLICA), "an agent that starts without a name server knows the last addresses"
        assert not reaches(proxy, own, REPLICA)
    tables = machine.nft("list", "tables")
    assert "headrace_" in tables, "what runs without its agent stays closed"
    with machine.agent(REPLICA_PORTS_FROM="[]", STOP_KERNELS_ON_EXIT="true"):
        await eventually(lambda: reaches(proxy, own, REPLICA) and reaches(other, own, REPLICA), within_s=60)
        assert "headrace_" not in machine.nft("list", "tables")


@contextmanager
def published(machine: Machine, root: Path) -> Iterator[None]:
    """Publish a port of a "container" as Docker does: a network behind the host, and DNAT to it."""
    with network("container") as others, ExitStack() as stack:
        inside, own = others["container"], machine.own
        own.ip("link", "add", "docker9", "type", "veth", "peer", "name", "eth1", "netns", inside.path)
        own.ip("address", "add", "10.99.0.1/24", "dev", "docker9")
        own.ip("link", "set", "docker9", "up")
        inside.ip("address", "add", "10.99.0.2/24", "dev", "eth1")
        inside.ip("link", "set", "eth1", "up")
        inside.ip("route", "add", "default", "via", "10.99.0.1")
        inside.ip("link", "set", "eth0", "down")
        forward = "echo 1 >/proc/sys/net/ipv4/ip_forward"
        dnat = f"iptables -t nat -A PREROUTING -p tcp --dport {CONTAINER} -j DNAT --to-destination 10.99.0.2:8000"
        for words in (("sh", "-c", forward), tuple(dnat.split())):
            subprocess.run(own.command(*words), check=True, timeout=20)
        served = inside.command(sys.executable, "-m", "http.server", "--bind", "10.99.0.2", "8000")
        stack.enter_context(running(*served, log=root / "container.log", environ=dict(os.environ)))
        until(lambda: reaches(machine.hosts["other"], own.address, CONTAINER), "the published port is open")
        yield


async def test_ports_that_containers_publish_are_closed_before_they_are_translated(
    machine: Machine, tmp_path: Path
) -> None:
    proxy, other, own = machine.hosts["proxy"], machine.hosts["other"], machine.own.address
    machine.plan()
    with published(machine, tmp_path), machine.agent(PORT_RANGE=f"{CONTAINER}-{CONTAINER}"):
        await eventually(lambda: not reaches(other, own, CONTAINER), within_s=60)
        assert reaches(proxy, own, CONTAINER)
        with machine.own.entered():
            socket.create_connection(("10.99.0.2", 8000), timeout=5).close()
    assert "headrace_" not in machine.nft("list", "tables"), "nothing runs: the rules end with the agent"
