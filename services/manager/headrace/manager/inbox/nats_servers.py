"""NATS as this manager is connected to it: version, servers, and the copies of its streams."""

from __future__ import annotations

import asyncio
from typing import Final

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamInfo

from headrace.common.bus.connect import Bus
from headrace.common.bus.subjects import STREAMS
from headrace.manager.domain.records.instances import BusState, StreamState

LOOK_S: Final = 3.0
"""Longest time for asking NATS of its streams."""
MAX_SERVERS: Final = 16
"""Addresses of servers that are told."""


class NatsServers:
    """Looks at the bus for the status of the installation. `copies`: servers that should keep each stream."""

    def __init__(self, bus: Bus, *, copies: int) -> None:
        self._bus = bus
        self._copies = copies

    def unreachable(self) -> str | None:
        """Return since when there is no connection, and why; None while there is one."""
        return self._bus.unreachable()

    async def look(self) -> BusState:
        """Ask the server that this manager is connected to; takes at most LOOK_S, and raises nothing."""
        away = self._bus.unreachable()
        if away is not None:
            return BusState(problem=away)
        client = self._bus.client
        version, at = client.connected_server_version, client.connected_url
        known = tuple(dict.fromkeys(url.netloc.rpartition("@")[2] for url in client.servers))[:MAX_SERVERS]
        state = BusState(
            version=f"{version.major}.{version.minor}.{version.patch}",
            address=at.netloc.rpartition("@")[2] if at is not None else "",
            servers=known,
        )
        try:
            async with asyncio.timeout(LOOK_S):
                js = JetStreamContext(client, timeout=LOOK_S)
                streams = tuple([_stream(await js.stream_info(name), self._copies) for name in STREAMS])
        except (NatsError, TimeoutError, OSError) as error:
            why = f"no answer within {LOOK_S:g} s" if isinstance(error, TimeoutError) else str(error)
            problem = f"it does not tell of its streams: {why or type(error).__name__}"
            return BusState(problem, state.version, state.address, state.servers)
        return BusState(None, state.version, state.address, state.servers, streams)


def _stream(info: StreamInfo, wanted: int) -> StreamState:
    name, copies = str(info.config.name), info.config.num_replicas or 1
    cluster = info.cluster
    if cluster is None:
        return StreamState(name, wanted, (), copies)
    behind = [
        f"{peer.name} is offline" if peer.offline else f"{peer.name} lags behind by {peer.lag or 0}"
        for peer in cluster.replicas or ()
        if peer.offline or not peer.current
    ]
    return StreamState(name, wanted, (*([] if cluster.leader else ["none leads"]), *behind), copies)
