"""A NATS cluster on the files of `headrace init`: who may be one of its servers, what a loss of one costs, revocation, and growth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from headrace.common.bus.connect import Bus, Login
from headrace.common.bus.consume import LastValues
from headrace.common.bus.identities import public_key, revised_account_token
from headrace.common.bus.publish import publish_last
from headrace.common.bus.signing import CLAIMS_USER, BusSigning, read_signing
from headrace.common.bus.streams import ensure_streams
from headrace.common.bus.system import SystemLogin, replace_claims
from headrace.common.contracts.ids import ProjectId, ServiceId, new_uuid
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.problems import BusUnavailable
from headrace.embedded.binaries import nats_server
from headrace.install.folder import stored_state
from tests.support.ports import free_port
from tests.support.wait import eventually, until
from tests.support.worlds.installation import Ports, installed, nats_running, on_this_machine, running
from tests.support.worlds.installed_nats import (
    InstalledNats,
    loopback_addresses,
    nats_cluster_running,
    servers_of,
    until_whole,
)

SERVICE, PROJECT = ServiceId(new_uuid()), ProjectId(new_uuid())


@dataclass
class Cluster:
    """Files of an installation, and the servers that run on them."""

    folder: Path
    url: str
    servers: list[InstalledNats]

    def login(self, user: str, url: str = "") -> Login:
        return Login(
            url or self.url,
            user,
            "",
            user,
            credentials=self.folder / f"bus/{user}.creds",
            ca_file=self.folder / "tls/ca.crt",
        )

    @property
    def signing(self) -> BusSigning:
        return read_signing(self.folder / "bus/signing.json")

    async def revoke(self, user: str) -> bool:
        """Do what the managers' loop does with a revoked identity; return whether a server had other claims."""
        state, keys = stored_state(self.folder), self.signing
        assert state is not None
        revoked = {public_key(state.identities[user].seed): int(time.time()) + 1}
        claims = revised_account_token(keys.account_claims, keys.operator_signing, revoked)
        login = SystemLogin(self.url, keys.system_credentials, CLAIMS_USER, self.folder / "tls/ca.crt")
        return await replace_claims(login, keys.account, claims)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    addresses = ",".join(map(str, loopback_addresses(3)))
    choices = replace(on_this_machine(Ports(), tmp_path / "data", "agent-1", "agent-2"), nats=addresses)
    folder = installed(tmp_path / "etc", choices)
    with nats_cluster_running(folder, tmp_path / "data") as servers:
        yield Cluster(folder, ",".join(server.url for server in servers), servers)


async def opened(login: Login) -> Bus:
    bus = Bus()
    await bus.open(login, timeout_s=60)
    return bus


async def is_refused(login: Login) -> bool:
    bus = Bus()
    try:
        await bus.open(login, timeout_s=3)
    except BusUnavailable as refusal:
        return "authorization violation" in refusal.detail.lower()
    finally:
        await bus.close()
    return False


async def streams_of(bus: Bus, replicas: int) -> bool:
    try:
        await ensure_streams(bus, replicas=replicas)
    except (NatsError, TimeoutError, OSError):
        return False
    return True


async def store(bus: Bus, generation: int) -> None:
    """Publish a table until it is stored, as the managers' loop does."""

    async def stored() -> bool:
        with suppress(BusUnavailable):
            await publish_last(bus, RouteTable(service_id=SERVICE, generation=generation, name="s", project_id=PROJECT))
            return True
        return False

    await eventually(stored, within_s=60)


async def test_whichever_server_dies_services_of_all_kinds_go_on_with_their_files(cluster: Cluster) -> None:
    buses = {user: await opened(cluster.login(user)) for user in ("manager", "autoscaler", "proxy-1", "agent-1")}
    await eventually(lambda: streams_of(buses["manager"], 3), within_s=60)
    seen: list[int] = []

    async def deliver(table: RouteTable) -> None:
        seen.append(table.generation)

    watch = LastValues(buses["proxy-1"], RouteTable, deliver, resync=timedelta(seconds=2))
    watching = asyncio.create_task(watch.run())
    for generation, server in enumerate(cluster.servers, 1):
        server.kill()
        await store(buses["manager"], generation)
        await eventually(lambda: generation in seen)  # noqa: B023 - awaited here
        await eventually(lambda: all(bus.connected for bus in buses.values()))
        server.start()
        await asyncio.to_thread(until_whole, cluster.servers)
    watch.stop()
    await asyncio.wait_for(watching, 60)
    for bus in buses.values():
        await bus.close()


async def test_a_revoked_identity_is_refused_by_each_server_also_by_one_that_was_away(cluster: Cluster) -> None:
    held = [await opened(cluster.login("agent-1", server.url)) for server in cluster.servers]
    away = cluster.servers[2]
    await held.pop().close()
    away.kill()
    assert await cluster.revoke("agent-1")
    for bus in held:
        await eventually(lambda: not bus.connected)  # noqa: B023 - awaited here
        await bus.close()
    for server in cluster.servers[:2]:
        await eventually(lambda: is_refused(cluster.login("agent-1", server.url)))  # noqa: B023
    away.start()
    await asyncio.to_thread(until_whole, cluster.servers)
    await cluster.revoke("agent-1")  # as managers do when they look again
    await eventually(lambda: is_refused(cluster.login("agent-1", away.url)))
    for server in cluster.servers:
        await (await opened(cluster.login("agent-2", server.url))).close()


async def test_nobody_without_a_certificate_of_these_servers_is_one_of_them(cluster: Cluster, tmp_path: Path) -> None:
    """The certificate of another server of the installation, by the same authority, is none."""
    names = {server.name for server in cluster.servers}
    for server in cluster.servers:
        until(lambda: server.routes() == names - {server.name})  # noqa: B023 - awaited here
    text = (cluster.folder / "nats/nats-3.conf").read_text()
    host, port = cluster.servers[2].address
    other = loopback_addresses(1)[0]
    text = text.replace(f"{host}:{port}", str(other)).replace(
        f"{host}:{port + 2000}", f"{other.host}:{other.port + 2000}"
    )
    text = text.replace('"nats-3"', '"stranger"').replace("tls/nats-3.", "tls/api.")
    text = text.replace(f"{tmp_path}/data/nats-3", f"{tmp_path}/data/stranger")
    (tmp_path / "stranger.conf").write_text(text)
    log = tmp_path / "stranger.log"
    with running(str(nats_server()), "-c", str(tmp_path / "stranger.conf"), "-m", str(free_port()), log=log):
        refused = "certificate specifies an incompatible key usage"
        await eventually(lambda: all(refused in server.log.read_text() for server in cluster.servers[:2]))
        assert all(server.routes() == names - {server.name} for server in cluster.servers)


async def test_one_server_becomes_three_and_services_go_on(tmp_path: Path) -> None:
    addresses = loopback_addresses(3)
    choices = replace(on_this_machine(Ports(), tmp_path / "data", "agent-1"), nats=str(addresses[0]))
    folder = installed(tmp_path / "etc", choices)
    first = f"tls://{addresses[0]}"
    before = Cluster(folder, first, [])
    with nats_running(folder, tmp_path / "data"):
        held = await opened(before.login("manager"))
        await ensure_streams(held)
        await store(held, 1)
        installed(folder, replace(choices, nats=",".join(map(str, addresses))))
        servers = servers_of(folder, tmp_path / "data")
        for server in servers[1:]:
            server.start()
    servers[0].start()
    try:
        await asyncio.to_thread(until_whole, servers)
        await eventually(lambda: held.connected)  # it knows the first one only
        await held.close()
        after = Cluster(folder, ",".join(server.url for server in servers), servers)
        bus = await opened(after.login("manager"))
        await eventually(lambda: streams_of(bus, 3), within_s=60)
        await store(bus, 2)
        info = await JetStreamContext(bus.client).stream_info("ROUTES")
        assert info.cluster is not None
        assert len(info.cluster.replicas or []) == 2
        await bus.close()
    finally:
        for server in servers:
            server.stop()
