"""NATS servers of a cluster on the files that `headrace init` makes, any of which a test kills and starts again."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

import httpx

from headrace.embedded.binaries import nats_server
from headrace.install.plan import Address
from tests.support.ports import free_port
from tests.support.wait import until
from tests.support.worlds.installation import running


def loopback_addresses(count: int) -> list[Address]:
    """Return addresses of as many servers, which no other test has: those of a cluster listen at two ports each."""
    port = free_port()
    return [Address(f"127.{port >> 8}.{port & 255}.{number}", port) for number in range(1, count + 1)]


@dataclass
class InstalledNats:
    """A server of the cluster."""

    name: str
    address: Address
    folder: Path
    log: Path
    monitor: int = field(default_factory=free_port)
    _stack: ExitStack = field(default_factory=ExitStack)
    _process: Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address alone."""
        return f"tls://{self.address}"

    def start(self) -> None:
        """Start it."""
        self._stack = ExitStack()
        command = (str(nats_server()), "-c", str(self.folder / f"nats/{self.name}.conf"), "-m", str(self.monitor))
        self._process = self._stack.enter_context(running(*command, log=self.log))

    def kill(self) -> None:
        """End it without a chance to say so."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._stack.close()

    def stop(self) -> None:
        """Stop it."""
        self._stack.close()

    def whole(self) -> bool:
        """Whether it serves, and has all that the cluster has."""
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            return self._get("healthz").status_code == 200
        except httpx.HTTPError:
            return False

    def routes(self) -> set[str]:
        """Return the names of the servers that it knows."""
        return {str(route["remote_name"]) for route in self._get("routez").json()["routes"] or ()}

    def _get(self, page: str) -> httpx.Response:
        return httpx.get(f"http://{self.address.host}:{self.monitor}/{page}", timeout=5, verify=False)


def servers_of(folder: Path, data: Path) -> list[InstalledNats]:
    """Return the servers of the installation in `folder`, none of which runs."""
    data.mkdir(parents=True, exist_ok=True)
    plan = json.loads((folder / "installation.json").read_text())["plan"]
    return [
        InstalledNats(one["name"], Address(*one["address"]), folder, data / f"{one['name']}.log")
        for one in plan.get("nats_cluster", ())
    ]


def until_whole(servers: list[InstalledNats]) -> None:
    """Return once all servers serve, and have everything."""
    until(lambda: all(server.whole() for server in servers), "the NATS cluster is whole", within_s=90)


@contextmanager
def nats_cluster_running(folder: Path, data: Path) -> Iterator[list[InstalledNats]]:
    """Run the NATS cluster of the installation in `folder`."""
    servers = servers_of(folder, data)
    with ExitStack() as stack:
        for server in servers:
            server.start()
            stack.callback(server.stop)
        until_whole(servers)
        yield servers
