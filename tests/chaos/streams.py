"""A thousand streams through a real app-proxy while replicas are killed, drained, cut and added.

By hand: `python -m tests.chaos.streams --streams 1000 --seconds 120`. Real bus, real processes, verified tokens. Prints
the result as JSON; the exit status is 1 when numbers do not match or anything is left open.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import uvloop

from headrace.common.bus.connect import open_bus
from headrace.common.bus.consume import subscribed
from headrace.common.bus.publish import publish_last
from headrace.common.bus.streams import ensure_streams
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.reports import DrainingRoute, ProxyReport
from headrace.common.contracts.messages.routes import Limits, RouteTable
from headrace.embedded.blocking import servers_in_thread
from headrace.embedded.stack import EmbeddedServers
from tests.chaos.account import ScrapedMetrics, disagreements
from tests.chaos.callers import Caller, Tally
from tests.chaos.churn import Churn, ReplicaHandle
from tests.chaos.processes import EngineProcess, ProxyProcess, app_proxy
from tests.support.factories.route_tables import Signer, table
from tests.support.wait import eventually

EVERY_MS = 250
EVENTS = (20, 60)
"""Streams of five to fifteen seconds."""
REPLICAS = 10
LOOK_EVERY_S = 10.0


class Reports:
    """Last report of the app-proxy on the bus."""

    def __init__(self) -> None:
        self.draining: dict[SessionId, DrainingRoute] = {}

    async def hear(self, report: ProxyReport) -> None:
        """Store a report."""
        self.draining = {one.session_id: one for one in report.draining}

    def idle(self, session_id: SessionId) -> bool:
        """Return whether the replica is known to drain and has no open request."""
        seen = self.draining.get(session_id)
        return seen is not None and not seen.in_flight


class Watch:
    """Samples the app-proxy periodically."""

    def __init__(self, proxy: ProxyProcess) -> None:
        self.numbers = ScrapedMetrics()
        self.rss_mb: list[float] = []
        self.files: list[int] = []
        self._proxy = proxy

    async def look(self) -> None:
        """Sample its metrics, memory and open files."""
        self.numbers.take(await self._proxy.metrics())
        self.rss_mb.append(self._proxy.rss_mb())
        self.files.append(self._proxy.files())

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()


@asynccontextmanager
async def _on_the_bus(
    servers: EmbeddedServers, proxy: ProxyProcess, *, limit: int
) -> AsyncIterator[tuple[Churn, Reports, Signer]]:
    user, password = servers.nats_user("manager")
    reports, signer = Reports(), Signer()
    first = table(
        "chat",
        open_to_public=False,
        token_keys=(signer.public,),
        limits=Limits(max_in_flight_per_replica=limit, queue_timeout_s=60),
    )
    async with open_bus(servers.nats_url, user=user, password=password, name="chaos") as bus:
        await ensure_streams(bus)

        async def publish(changed: RouteTable) -> None:
            await publish_last(bus, changed)

        async def make() -> ReplicaHandle:
            return await EngineProcess.start()

        churn = Churn(first, make=make, publish=publish, idle=reports.idle, chance=Random(7), most=REPLICAS)
        async with subscribed(bus, ProxyReport, reports.hear):
            await eventually(proxy.ready, every_s=0.1)
            await churn.begin()
            yield churn, reports, signer


async def _run(servers: EmbeddedServers, proxy: ProxyProcess, *, streams: int, seconds: float) -> dict[str, Any]:
    tally, watch = Tally(), Watch(proxy)
    async with _on_the_bus(servers, proxy, limit=streams // (REPLICAS - 3)) as (churn, reports, signer):
        token = signer.token(churn.table.service_id)

        first = Caller(proxy.port, "/chat", tally, Random(0), token)

        async def served() -> bool:
            outcome = await first.ask(1, 1)
            assert outcome == "done", (outcome, tally.statuses)
            return True

        await eventually(served, every_s=0.2)
        first.hang_up()
        await watch.look()
        began = time.monotonic()
        until = began + seconds
        looking = asyncio.create_task(watch.run())
        async with asyncio.TaskGroup() as group:
            for n in range(streams):
                caller = Caller(proxy.port, "/chat", tally, Random(n), token)
                group.create_task(caller.run(lambda: time.monotonic() < until, events=EVENTS, every_ms=EVERY_MS))
            while time.monotonic() < until:
                await asyncio.sleep(0.5)
                await churn.step()
        took_s = time.monotonic() - began
        looking.cancel()
        await churn.end()
        left_open = await _left_open(watch)
        wrong = disagreements(tally, watch.numbers, reports.draining.values())
        if churn.left != reports.draining.keys():
            wrong.append(f"{len(churn.left)} replicas left, {len(reports.draining)} have a receipt")
        return {
            "streams_at_once": streams,
            "seconds": round(took_s, 1),
            "asked": tally.asked,
            "outcomes": dict(tally.outcomes),
            "refused": dict(tally.statuses),
            "events": tally.events,
            "deeds": dict(churn.deeds),
            "receipts": _sums(reports.draining.values()),
            "broken": watch.numbers.by("headrace_proxy_interrupted_responses_total", "reason"),
            "retries": watch.numbers.by("headrace_proxy_retries_total", "reason"),
            "queued": watch.numbers.of("headrace_proxy_queue_seconds_count"),
            "rss_mb": watch.rss_mb,
            "files": watch.files,
            "left_open": left_open,
            "wrong": wrong,
        }


async def _left_open(watch: Watch) -> int:
    """Return the number of files open beyond those before the first stream, after time to close idle connections."""

    async def closed() -> bool:
        await watch.look()
        return watch.files[-1] <= watch.files[0]

    try:
        await eventually(closed, within_s=30, every_s=1)
    except AssertionError:
        return watch.files[-1] - watch.files[0]
    return 0


def _sums(receipts: Any) -> dict[str, float]:
    found: dict[str, float] = {"replicas": 0}
    for one in receipts:
        found["replicas"] += 1
        for name, number in one.receipt.model_dump().items():
            before = found.get(name, 0)
            found[name] = round(max(before, number), 2) if name == "slowest_s" else before + number
    return found


def main() -> int:
    """Run once; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that carry the traffic; 0: one, with the rest"
    )
    given = parser.parse_args()
    with (
        TemporaryDirectory(prefix="headrace-chaos-") as folder,
        servers_in_thread(Path(folder) / "servers", only=("nats",), durable=False) as servers,
        app_proxy(servers, Path(folder) / "proxy", workers=given.workers) as proxy,
    ):
        seen = uvloop.run(_run(servers, proxy, streams=given.streams, seconds=given.seconds))
    print(json.dumps(seen, indent=2))
    return 1 if seen["wrong"] or seen["left_open"] else 0


if __name__ == "__main__":
    sys.exit(main())
