"""What /metrics shows of what is in hand."""

from __future__ import annotations

from uuid import UUID

from prometheus_client import CollectorRegistry

from headrace.appproxy.control import exposition
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.telemetry.stats import StatsBook
from headrace.appproxy.ipc.snapshot import TrafficSnapshot
from tests.unit.appproxy.tables import REVISION, route, table


def test_a_replica_is_shown_from_its_first_request_on_and_until_its_last() -> None:
    fresh, gone, rests = (str(UUID(int=number)) for number in (1, 2, 3))
    tables, book, registry = RouteTables(), StatsBook(), CollectorRegistry()
    tables.apply(table(routes=(route(1), route(3))))
    book.replica("service", "chat", str(REVISION), gone)
    registry.register(
        exposition.TrafficCollector(book, lambda: TrafficSnapshot(in_flight={fresh: 2, gone: 1}), tables, lambda: 1)
    )
    shown = {
        session: registry.get_sample_value(
            "headrace_proxy_in_flight", {"service": "chat", "revision": str(REVISION), "replica": session}
        )
        for session in (fresh, gone, rests)
    }
    assert shown == {fresh: 2, gone: 1, rests: 0}
