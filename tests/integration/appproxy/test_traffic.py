"""Traffic of a real app-proxy: what callers got is in the windows that it hands to a manager, by the bus user of app-proxies."""

from __future__ import annotations

from functools import reduce
from pathlib import Path

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import answering
from headrace.common.contracts.messages.traffic import ReplicaTraffic, TrafficStored, TrafficWindow
from headrace.embedded.stack import EmbeddedServers
from tests.support.factories.route_tables import route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import backend, running


async def test_what_callers_got_is_handed_to_a_manager_at_the_end_at_the_latest(
    servers: EmbeddedServers, bus: Bus, tmp_path: Path
) -> None:
    windows: list[TrafficWindow] = []

    async def store(window: TrafficWindow) -> TrafficStored:
        windows.append(window)
        return TrafficStored(stored=len(window.services))

    user, password = servers.nats_user("appproxy")
    login = {"id": "proxy-1", "nats_url": servers.nats_url, "nats_user": user, "nats_password": password}
    async with answering(bus, TrafficWindow, store), backend() as replica:
        async with running(tmp_path / "data", **login) as world:
            await eventually(lambda: world.proxy.bus.connected)
            chat = table("chat", routes=(route(port=replica.port),))
            world.apply(chat)
            for _ in range(3):
                assert (await world.http.get(f"{world.url}/chat/v1/models")).status_code == 200
        told = [each for window in windows for each in window.services if each.service_id == chat.service_id]
    first, *others = (replica for one in told for replica in one.replicas)
    traffic = reduce(ReplicaTraffic.plus, others, first)  # a window may end between two requests
    assert (traffic.session_id, traffic.revision_id) == (chat.routes[0].session_id, chat.routes[0].revision_id)
    assert (traffic.succeeded, sum(traffic.latencies.values()), sum(traffic.first_bytes.values())) == (3, 3, 3)
    assert len({window.writer for window in windows}) == 1
