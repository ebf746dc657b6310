"""The packet filter on machines with two kinds of iptables, each of which is a network namespace here.

Needs what the rules need: the right to set packet filter rules, and both kinds of iptables.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from headrace.agent.domain.networks import bridge_prefix
from headrace.common.contracts.ids import new_uuid

pytestmark = [pytest.mark.docker, pytest.mark.root]
OWNER = "/data"
BRIDGE = f"{bridge_prefix(OWNER)}1"
_ENSURE = f"""
import asyncio
from headrace.agent.runtime.docker.firewall import Firewall
firewall = Firewall({OWNER!r}, ())
print(asyncio.run(firewall.ensure()) or "in force")
"""
_REMOVE = _ENSURE + "asyncio.run(firewall.remove())"
_CONNECT = """
import socket, sys
for host in sys.argv[1:]:
    try:
        socket.create_connection((host, 8080), 2).close()
        print(host)
    except OSError:
        pass
"""
_SERVE = "import http.server as h, socket; h.ThreadingHTTPServer.address_family = socket.AF_INET6; print('ready', flush=True); "
_SERVE += "h.ThreadingHTTPServer(('::', 8080), h.SimpleHTTPRequestHandler).serve_forever()"


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


@dataclass
class Machine:
    """A machine with a container at its bridge and another machine, at a private address, beside it."""

    name: str
    tools: Path
    """Holds `iptables` and so on: the kind that the machine's administrator chose."""

    def do(self, *words: str, at: str = "machine") -> str:
        """Run a command on the machine, or in the `container`, or `beside`."""
        path = f"PATH={self.tools}:/usr/sbin:/usr/bin:/bin"
        return run("ip", "netns", "exec", f"{self.name}-{at}", "env", path, *words)

    def choose(self, kind: str) -> None:
        """Make `iptables` this kind."""
        for name in ("iptables", "iptables-restore", "ip6tables"):
            first, _, rest = name.partition("-")
            real = shutil.which(f"{first}-{kind}" + (f"-{rest}" if rest else ""), path="/usr/sbin:/sbin")
            assert real is not None, "both kinds of iptables are needed"
            (self.tools / name).symlink_to(real)

    def python(self, script: str) -> str:
        """Run a script on the machine and return what it said last."""
        return self.do(sys.executable, "-c", script).splitlines()[-1]

    def reached(self) -> set[str]:
        """What the container can connect to."""
        ways = {
            "10.213.0.1": "the machine",
            "10.99.7.1": "a private address",
            "2001:db8:1::1": "the machine over IPv6",
            "2001:db8:2::2": "elsewhere over IPv6",
        }
        found = self.do(sys.executable, "-c", _CONNECT, *ways, at="container").split()
        return {ways[host] for host in found}

    def rules(self, kind: str) -> list[str]:
        """The rules of this kind that are about the bridges."""
        both = self.do(f"iptables-{kind}", "-S") + self.do(f"ip6tables-{kind}", "-S")
        return [line for line in both.splitlines() if f"{bridge_prefix(OWNER)}+" in line]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(f"hrt{new_uuid().hex[-6:]}", tmp_path)
    spaces = [f"{found.name}-{at}" for at in ("machine", "container", "beside")]
    servers: list[subprocess.Popen[str]] = []
    try:
        for space in spaces:
            run("ip", "netns", "add", space)
            run("ip", "-n", space, "link", "set", "lo", "up")
            run("ip", "netns", "exec", space, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")  # usable at once
        found.do("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        here, container, beside = spaces
        run("ip", "-n", here, "link", "add", BRIDGE, "type", "veth", "peer", "name", "eth0", "netns", container)
        run("ip", "-n", here, "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", beside)
        for space, device, *addresses in (
            (here, BRIDGE, "10.213.0.1/27", "2001:db8:1::1/64"),
            (container, "eth0", "10.213.0.2/27", "2001:db8:1::2/64"),
            (here, "eth1", "10.99.7.2/24", "2001:db8:2::1/64"),
            (beside, "eth0", "10.99.7.1/24", "2001:db8:2::2/64"),
        ):
            for address in addresses:
                run("ip", "-n", space, "addr", "add", address, "dev", device)
            run("ip", "-n", space, "link", "set", device, "up")
        for space, routers in (
            (container, ("10.213.0.1", "2001:db8:1::1")),
            (beside, ("10.99.7.2", "2001:db8:2::1")),
        ):
            for router in routers:
                run("ip", "-n", space, "route", "add", "default", "via", router)
        for space in (here, beside):
            command = ["ip", "netns", "exec", space, sys.executable, "-c", _SERVE]
            servers.append(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path)
            )
            assert servers[-1].stdout is not None
            assert servers[-1].stdout.readline() == "ready\n"
        yield found
    finally:
        for server in servers:
            server.kill()
            server.communicate()
        for space in spaces:
            run("ip", "netns", "del", space)


@pytest.mark.parametrize("engines", ["nft", "legacy"])
@pytest.mark.parametrize("chosen", ["nft", "legacy"])
def test_the_rules_stand_beside_the_engines_of_whichever_kind_and_hold(
    machine: Machine, chosen: str, engines: str
) -> None:
    machine.choose(chosen)
    for words in (("-N", "DOCKER-USER"), ("-A", "FORWARD", "-j", "DOCKER-USER")):
        machine.do(f"iptables-{engines}", *words)
    everything = {"the machine", "a private address", "the machine over IPv6", "elsewhere over IPv6"}
    assert machine.reached() == everything
    assert machine.python(_ENSURE) == "in force"
    assert machine.reached() == set()
    other = {"nft": "legacy", "legacy": "nft"}[engines]
    assert len(machine.rules(engines)) == 8
    assert machine.rules(other) == []
    assert machine.python(_REMOVE) == "in force"
    assert machine.rules(engines) == []
    assert machine.reached() == everything


@pytest.mark.parametrize("chosen", ["nft", "legacy"])
def test_rules_that_nothing_leads_to_are_not_said_to_be_in_force(machine: Machine, chosen: str) -> None:
    machine.choose(chosen)
    said = machine.python(_ENSURE)  # no chain of Docker: iptables is off in its settings, or it has its own tables
    assert "FORWARD has to lead to DOCKER-USER" in said
    for words in (("-N", "DOCKER-USER"), ("-A", "FORWARD", "-j", "DOCKER-USER")):
        machine.do("iptables", *words)
    assert machine.python(_ENSURE) == "in force"
    machine.do("iptables", "-F", "FORWARD")
    assert "FORWARD has to lead to DOCKER-USER" in machine.python(_ENSURE)
    assert "a private address" in machine.reached()
