"""Containers of different projects on one machine, which try to reach what is not theirs.

Needs what the rules need: the right to set packet filter rules, and the engine on this machine.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from headrace.agent.domain.networks import bridge_name, bridge_prefix
from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.embedded.stack import EmbeddedServers
from tests.integration.agent.conftest import AGENT, AgentUnderTest, agent_under_test, container, inspect
from tests.integration.agent.containers import docker
from tests.support.ports import free_port
from tests.support.wait import eventually

pytestmark = pytest.mark.docker


@dataclass(frozen=True)
class Neighbour:
    """A machine beside this one, at addresses that no other test process of this machine uses: `number` is a leased port."""

    number: int

    @property
    def cable(self) -> str:
        """Name of this machine's end of the cable to it."""
        return f"hrt{self.number}"

    @property
    def metadata(self) -> str:
        """Link-local, as a cloud's metadata service."""
        return f"169.254.{self._last_two}"

    @property
    def private(self) -> str:
        return f"10.99.{self._last_two}"

    @property
    def public(self) -> str:
        """Of the networks for benchmarks (RFC 2544); stands for the internet."""
        return f"198.18.{self._last_two}"

    @property
    def this_end(self) -> str:
        return self._of_the_cable(1)

    @property
    def other_end(self) -> str:
        return self._of_the_cable(2)

    @property
    def ipv6(self) -> str:
        """The first 48 bits of IPv6 addresses for this test."""
        return f"2001:db8:{self.number:x}"

    @property
    def _last_two(self) -> str:
        return f"{self.number >> 8}.{self.number & 255}"

    def _of_the_cable(self, host: int) -> str:
        return f"198.19.{self.number >> 8}.{(self.number & 252) + host}"


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def neighbour(tmp_path: Path) -> Iterator[Neighbour]:
    """Another machine (a network namespace) that serves HTTP on port 8080 of all its addresses."""
    there = Neighbour(free_port())
    name, addresses = there.cable, (there.metadata, there.private, there.public)
    run("ip", "netns", "add", name)
    served = None
    try:
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "addr", "add", f"{there.this_end}/30", "dev", name)
        run("ip", "link", "set", name, "up")
        inside = ("ip", "netns", "exec", name)
        for address in (f"{there.other_end}/30", *(f"{address}/32" for address in addresses)):
            run(*inside, "ip", "addr", "add", address, "dev", "eth0")
        run(*inside, "ip", "link", "set", "eth0", "up")
        run(*inside, "ip", "route", "add", "default", "via", there.this_end)
        for address in addresses:
            run("ip", "route", "add", f"{address}/32", "via", there.other_end)
        command = [*inside, sys.executable, "-m", "http.server", "8080", "--directory", str(tmp_path)]
        served = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        yield there
    finally:
        if served is not None:
            served.kill()
            served.wait()
        # The cable first: what ends with the namespace ends some time later, and its routes are in the next test's way.
        subprocess.run(("ip", "link", "del", name), check=False, capture_output=True, timeout=60)
        run("ip", "netns", "del", name)


@asynccontextmanager
async def docker_agent_with(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path, **settings: str
) -> AsyncIterator[AgentUnderTest]:
    async with agent_under_test(bus, servers, tmp_path, folders, RUNTIME="docker", **settings) as agent:
        agent.start()
        yield agent


@pytest.fixture
async def isolated(bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path) -> AsyncIterator[AgentUnderTest]:
    """An agent whose containers' ports are published on all of the machine's addresses, as in a fleet."""
    async with docker_agent_with(bus, servers, tmp_path, folders, BIND_ADDRESS="0.0.0.0") as agent:
        yield agent


def rules_of(agent: AgentUnderTest) -> list[str]:
    rules = [f"{tool} {line}" for tool in ("iptables", "ip6tables") for line in run(tool, "-S").splitlines()]
    return [rule for rule in rules if f"{bridge_prefix(str(agent.data))}+" in rule]


def leave_ipv6_on(spec: KernelSpec) -> str:
    """Do with the container as some engines do (Docker 26.0). Return its link-local address."""
    pid = str(inspect(spec)["State"]["Pid"])
    inside = ("nsenter", "-t", pid, "-n")
    usable_at_once = ("net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.eth0.accept_dad=0")
    run(*inside, "sysctl", "-qw", *usable_at_once, "net.ipv6.conf.all.disable_ipv6=0")
    (link,) = json.loads(run(*inside, "ip", "-j", "-6", "addr", "show", "dev", "eth0", "scope", "link"))
    return str(link["addr_info"][0]["local"])


def bridge_of(agent: AgentUnderTest, spec: KernelSpec) -> tuple[str, str]:
    """Return the name of the session's bridge and its link-local address on the machine."""
    name = bridge_name(str(agent.data), spec.session_id)
    (link,) = json.loads(run("ip", "-j", "-6", "addr", "show", "dev", name, "scope", "link"))
    return name, str(link["addr_info"][0]["local"])


async def _greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
    writer.close()


async def answers(spec: KernelSpec, host: str, port: int) -> bool:
    """Whether the container gets any HTTP answer from there."""
    name = f"headrace-{AGENT}-{spec.kernel_id}"
    script = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {host} {port}"
    process = await asyncio.create_subprocess_exec(
        "docker", "exec", name, "sh", "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said, _ = await process.communicate()
    return said.startswith(b"HTTP/1.")


def address_of(spec: KernelSpec) -> str:
    (network,) = inspect(spec)["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def gateway_of(spec: KernelSpec) -> str:
    (network,) = inspect(spec)["NetworkSettings"]["Networks"].values()
    return str(network["Gateway"])


def own_address() -> str:
    return next(word for word in run("hostname", "-I").split() if ":" not in word and not word.startswith("172."))


async def test_containers_of_two_projects_reach_neither_each_other_nor_the_machine_nor_what_is_private(
    isolated: AgentUnderTest, busybox: str, neighbour: Neighbour
) -> None:
    mine, theirs = container(busybox), container(busybox)
    await isolated.plan(mine, theirs)
    rows = [await isolated.kernel(spec, state="running", health="healthy") for spec in (mine, theirs)]
    assert httpx.get(f"http://{own_address()}:{rows[1].port}/etc/passwd", timeout=60, verify=False).status_code == 200
    await eventually(
        lambda: httpx.get(f"http://{neighbour.metadata}:8080/", timeout=60, verify=False).status_code == 200
    )
    bus_like = await asyncio.start_server(_greet, "0.0.0.0", 0)
    async with bus_like:
        bus_port = bus_like.sockets[0].getsockname()[1]
        closed = {
            "its own address": (address_of(theirs), 8000),
            "its published port at the machine's address": (own_address(), rows[1].port),
            "its published port at the bridge": (gateway_of(mine), rows[1].port),
            "its published port at its bridge": (gateway_of(theirs), rows[1].port),
            "a service of the machine": (own_address(), bus_port),
            "a service of the machine at the bridge": (gateway_of(mine), bus_port),
            "cloud metadata": (neighbour.metadata, 8080),
            "a private address": (neighbour.private, 8080),
        }
        reached = {what: await answers(mine, *where) for what, where in closed.items()}
    assert reached == dict.fromkeys(closed, False)
    assert await answers(mine, neighbour.public, 8080)
    assert await answers(mine, "127.0.0.1", 8000)
    report = await isolated.until(lambda r: r.machine.isolation is not None)
    assert report.machine.isolation is not None
    assert report.machine.isolation.level == "firewall"


async def test_ports_that_the_engine_publishes_are_closed_to_all_but_those_that_are_named(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path, busybox: str, neighbour: Neighbour
) -> None:
    """By address translation, and by the engine's own proxy, as over IPv6 where containers have none."""
    here, there = f"{neighbour.ipv6}::1", f"{neighbour.ipv6}::2"
    run("ip", "addr", "add", f"{here}/64", "dev", neighbour.cable, "nodad")
    for address in (there, f"{neighbour.ipv6}::3"):
        run("ip", "-n", neighbour.cable, "addr", "add", f"{address}/64", "dev", "eth0", "nodad")

    def reaches(source: str, host: str, port: int) -> bool:
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/etc/passwd"
        words = ("curl", "-sf", "--max-time", "2", "--interface", source, url)
        command = ("ip", "netns", "exec", neighbour.cable, *words)
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0

    named = json.dumps([neighbour.private, there])
    replica = container(busybox)
    async with docker_agent_with(
        bus, servers, tmp_path, folders, BIND_ADDRESS="0.0.0.0", REPLICA_PORTS_FROM=named
    ) as agent:
        await agent.plan(replica)
        port = (await agent.kernel(replica, state="running", health="healthy")).port
        assert port is not None
        last = int(agent.env["HEADRACE_AGENT_PORT_RANGE"].partition("-")[2])
        proxied = docker("run", "-d", "-p", f"[::]:{last}:8000", busybox)
        try:
            await eventually(lambda: reaches(there, here, last))
            assert not reaches(f"{neighbour.ipv6}::3", here, last)
        finally:
            docker("rm", "-f", proxied)
        assert reaches(neighbour.private, neighbour.this_end, port)
        assert not reaches(neighbour.other_end, neighbour.this_end, port)
        assert httpx.get(f"http://{neighbour.this_end}:{port}/etc/passwd", timeout=60, verify=False).status_code == 200


@pytest.mark.parametrize("setting", ["required", "off"])
async def test_a_container_that_has_ipv6_after_all_reaches_nothing_over_it(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path, busybox: str, neighbour: Neighbour, setting: str
) -> None:
    """Without the packet filter it does reach the machine: so the ways that are tried are real ones."""
    run("ip", "-6", "addr", "add", f"{neighbour.ipv6}:1::1/64", "dev", neighbour.cable, "nodad")
    async with docker_agent_with(bus, servers, tmp_path, folders, DOCKER_FIREWALL=setting) as agent:
        mine, theirs = container(busybox), container(busybox)
        await agent.plan(mine, theirs)
        for spec in (mine, theirs):
            await agent.kernel(spec, state="running", health="healthy")
        leave_ipv6_on(mine)
        other = leave_ipv6_on(theirs)
        bridge, link_local = bridge_of(agent, mine)
        # As from an engine that gives addresses: one for the container, with the machine as its router.
        inside = ("nsenter", "-t", str(inspect(mine)["State"]["Pid"]), "-n", "ip", "-6")
        run(*inside, "addr", "add", f"{neighbour.ipv6}:2::2/64", "dev", "eth0", "nodad")
        run(*inside, "route", "add", "default", "via", link_local, "dev", "eth0")
        run("ip", "-6", "addr", "add", f"{neighbour.ipv6}:2::1/64", "dev", bridge, "nodad")
        service = await asyncio.start_server(_greet, "::", 0)
        async with service:
            port = service.sockets[0].getsockname()[1]
            open_without = {
                "the machine at the bridge's link-local address": (f"{link_local}%eth0", port),
                "the machine at another address": (f"{neighbour.ipv6}:1::1", port),
            }
            closed = {"another session's container": (f"{other}%eth0", 8000)}
            ways = open_without | closed
            if setting == "off":  # a busy machine may be slow
                for way in open_without.values():
                    await eventually(lambda way=way: answers(mine, *way))
            bridges_own = ("ip", "-6", "addr", "show", "dev", bridge, "tentative")
            await eventually(lambda: not run(*bridges_own))
            reached = {what: await answers(mine, *where) for what, where in ways.items()}
    assert reached == dict.fromkeys(open_without, setting == "off") | dict.fromkeys(closed, False)


async def test_a_containers_own_address_is_closed_to_other_machines(
    isolated: AgentUnderTest, busybox: str, neighbour: Neighbour
) -> None:
    spec = container(busybox)
    await isolated.plan(spec)
    row = await isolated.kernel(spec, state="running", health="healthy")
    connect = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)"
    there = ("ip", "netns", "exec", neighbour.cable, sys.executable, "-c", connect)
    run(*there, neighbour.this_end, str(row.port))
    run("ip", "netns", "exec", neighbour.cable, "ip", "route", "get", address_of(spec))  # the way there is known
    with pytest.raises(subprocess.CalledProcessError):
        run(*there, address_of(spec), "8000")


async def test_kernels_of_one_session_find_each_other_by_name_and_share_a_network(
    isolated: AgentUnderTest, busybox: str
) -> None:
    main = container(busybox)
    sub = container(busybox, session_id=main.session_id, project_id=main.project_id, role="sub", rank=1)
    await isolated.plan(main, sub)
    for spec in (main, sub):
        await isolated.kernel(spec, state="running")
    for asker, name, other in ((sub, "main", main), (sub, "rank-0", main), (main, "rank-1", sub)):
        said = docker("exec", f"headrace-{AGENT}-{asker.kernel_id}", "nslookup", name)
        assert address_of(other) in said
        await eventually(lambda asker=asker, other=other: answers(asker, address_of(other), 8000))
    networks = docker("network", "ls", "-q", "--filter", f"label=headrace.data={isolated.data}").splitlines()
    assert len(networks) == 1
    await isolated.plan(sub)
    await isolated.gone(main)
    assert docker("network", "ls", "-q", "--filter", f"label=headrace.data={isolated.data}").splitlines() == networks


async def test_networks_and_rules_go_with_what_needed_them(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path, busybox: str
) -> None:
    async with docker_agent_with(bus, servers, tmp_path, folders) as agent:
        spec = container(busybox)
        await agent.plan(spec)
        await agent.kernel(spec, state="running", health="healthy")
        assert len(rules_of(agent)) > 3
        agent.kill()
        docker(
            "network",
            "create",
            "--label",
            f"headrace.agent={AGENT}",
            "--label",
            f"headrace.data={agent.data}",
            "--label",
            f"headrace.session={new_uuid()}",
            f"left-behind-{new_uuid().hex[:8]}",
        )
        agent.start()
        await agent.kernel(spec, state="running")

        def names() -> list[str]:
            own = docker("network", "ls", "--format", "{{.Name}}", "--filter", f"label=headrace.data={agent.data}")
            return own.splitlines()

        await eventually(lambda: names() == [f"headrace-{AGENT}-{spec.session_id}"])
        assert len(rules_of(agent)) > 3
    assert names() == []
    assert rules_of(agent) == []


async def test_rules_that_somebody_threw_away_are_there_again_before_the_next_start(
    isolated: AgentUnderTest, busybox: str
) -> None:
    first, second = container(busybox), container(busybox)
    await isolated.plan(first)
    await isolated.kernel(first, state="running")
    before = rules_of(isolated)
    for rule in run("iptables", "-S", "DOCKER-USER").splitlines():  # not those of other agents on this machine
        if f"{bridge_prefix(str(isolated.data))}+" in rule:
            run("iptables", "-D", *rule.split()[1:])
    run("ip6tables", "-D", "INPUT", "-i", f"{bridge_prefix(str(isolated.data))}+", "-j", "DROP")
    assert rules_of(isolated) != before
    await isolated.plan(first, second)
    await isolated.kernel(second, state="running")
    assert sorted(rules_of(isolated)) == sorted(before)


async def test_rules_go_when_the_setting_turns_them_off_though_containers_run_on(
    isolated: AgentUnderTest, busybox: str
) -> None:
    spec = container(busybox)
    await isolated.plan(spec)
    await isolated.kernel(spec, state="running")
    assert rules_of(isolated)
    isolated.kill()
    isolated.env["HEADRACE_AGENT_DOCKER_FIREWALL"] = "off"
    isolated.start()
    await eventually(lambda: rules_of(isolated) == [])
    await isolated.kernel(spec, state="running")


@pytest.mark.parametrize(("setting", "state"), [("required", "failed"), ("preferred", "running")])
async def test_an_agent_that_cannot_filter_says_so_and_starts_only_what_may_go_without(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path, busybox: str, setting: str, state: str
) -> None:
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin/iptables"
    tool.write_text("#!/bin/sh\necho 'Permission denied (you must be root)' >&2; exit 4\n")
    tool.chmod(0o755)
    async with agent_under_test(bus, servers, tmp_path, folders, RUNTIME="docker", DOCKER_FIREWALL=setting) as agent:
        agent.env["PATH"] = f"{tmp_path / 'bin'}:/usr/bin:/bin"
        agent.start()
        spec = container(busybox)
        await agent.plan(spec)
        row = await agent.kernel(spec, state=state)
        report = await agent.until(lambda r: r.machine.isolation is not None)
        assert report.machine.isolation is not None
        assert report.machine.isolation.level == "networks"
        assert "you must be root" in report.machine.isolation.text
        if state == "failed":
            assert row.reason.code == "isolation-unavailable"
            assert "docker_firewall" in row.reason.text
