"""A cluster of three real NATS servers, any of which a test kills and starts again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from headrace.common.bus.permissions import BusUser
from headrace.embedded.binaries import nats_server
from headrace.embedded.nats import nats_config, password_variable
from tests.support.ports import free_port
from tests.support.wait import until

PASSWORD = "p" * 32
"""Of each user."""


class Node:
    """One server of the cluster, with its own folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port, self.cluster_port, self.monitor_port = free_port(), free_port(), free_port()
        self.folder = folder / name
        self.folder.mkdir()
        self.log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._env: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def configure(self, users: Collection[BusUser], others: Collection[Node]) -> None:
        """Write its configuration: a server of ours in which clients are told of no server that they do not know."""
        text = nats_config(
            host="127.0.0.1", port=self.port, store_dir=str(self.folder / "data"), users=users, name=self.name
        )
        routes = ", ".join(json.dumps(f"nats://127.0.0.1:{other.cluster_port}") for other in others)
        cluster = f'name: "test", listen: "127.0.0.1:{self.cluster_port}", routes: [{routes}], no_advertise: true'
        monitor = f'http: "127.0.0.1:{self.monitor_port}"\n'
        (self.folder / "nats.conf").write_text(f"{text}{monitor}cluster {{ {cluster} }}\n")
        self._env = {password_variable(user.name): PASSWORD for user in users}

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(nats_server()), "-c", str(self.folder / "nats.conf")], env=self._env, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """End it without a chance to say so."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(60)

    def healthy(self) -> bool:
        """Whether it serves, and has all that the cluster has."""
        try:
            return (
                httpx.get(f"http://127.0.0.1:{self.monitor_port}/healthz", timeout=5, verify=False).status_code == 200
            )
        except httpx.HTTPError:
            return False

    def leads(self, stream: str) -> bool:
        """Whether it is the leader of this stream of the managers' account."""
        there = f"http://127.0.0.1:{self.monitor_port}/jsz?acc=HEADRACE&streams=true"
        try:
            answer = httpx.get(there, timeout=5, verify=False)
        except httpx.HTTPError:
            return False
        accounts = answer.json().get("account_details") or []
        streams = [one for account in accounts for one in account.get("stream_detail") or []]
        return any(one["name"] == stream and one["cluster"].get("leader") == self.name for one in streams)


class NatsCluster:
    """Three servers."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @property
    def nats_url(self) -> str:
        """The addresses of all, as the setting has them."""
        return ",".join(node.url for node in self.nodes)

    def nats_user(self, name: str) -> tuple[str, str]:
        """Return a user's name and password."""
        return name, PASSWORD

    def leader(self, stream: str) -> Node:
        """Return the server that leads this stream, once there is one."""
        until(lambda: any(node.leads(stream) for node in self.nodes))
        return next(node for node in self.nodes if node.leads(stream))

    def whole(self) -> None:
        """Return once all servers serve, and have everything."""
        until(lambda: all(node.healthy() for node in self.nodes), within_s=90)


@contextmanager
def nats_cluster(folder: Path, users: Collection[BusUser]) -> Iterator[NatsCluster]:
    """Run three servers with these users, each with the same PASSWORD."""
    nodes = [Node(f"n{number}", folder) for number in (1, 2, 3)]
    cluster = NatsCluster(nodes)
    for node in nodes:
        node.configure(users, [other for other in nodes if other is not node])
    try:
        for node in nodes:
            node.start()
        cluster.whole()
        yield cluster
    finally:
        for node in nodes:
            node.kill()
