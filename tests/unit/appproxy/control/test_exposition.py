"""What /metrics shows of what is in hand."""

from __future__ import annotations

from uuid import UUID

from prometheus_client import CollectorRegistry

from headrace.appproxy.control import exposition
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.telemetry.stats import StatsRegistry
from headrace.appproxy.ipc.snapshot import TrafficSnapshot
from headrace.common.contracts.ids import ServiceId, SessionId
from tests.support.factories.route_tables import REVISION, route, table


def test_a_replica_is_shown_from_its_first_request_on_and_until_its_last() -> None:
    fresh, gone, rests = (SessionId(UUID(int=number)) for number in (1, 2, 3))
    tables, book, registry = RouteTables(), StatsRegistry(), CollectorRegistry()
    tables.apply(table(routes=(route(1), route(3))))
    book.replica(ServiceId(UUID(int=9)), "chat", REVISION, gone)
    registry.register(
        exposition.TrafficCollector(book, lambda: TrafficSnapshot(in_flight={fresh: 2, gone: 1}), tables, lambda: 1)
    )
    shown = {
        session: registry.get_sample_value(
            "headrace_proxy_in_flight", {"service": "chat", "revision": str(REVISION), "replica": str(session)}
        )
        for session in (fresh, gone, rests)
    }
    assert shown == {fresh: 2, gone: 1, rests: 0}


def test_numbers_of_who_is_gone_are_kept_until_they_were_scraped() -> None:
    book = StatsRegistry()
    service, stays, goes = ServiceId(UUID(int=9)), SessionId(UUID(int=1)), SessionId(UUID(int=2))
    book.service(service, "chat")
    for session_id in (stays, goes):
        book.replica(service, "chat", REVISION, session_id)
    expiry = exposition.StatsExpiry(book, after_s=120)
    expiry.sweep({stays, goes}, {service}, 0)
    expiry.sweep({stays}, {service}, 120)
    assert set(book.replicas) == {stays, goes}
    expiry.sweep({stays}, set(), 121)
    assert (set(book.replicas), set(book.services)) == ({stays}, {service})
    expiry.sweep(set(), set(), 242)
    assert not book.replicas
    assert not book.services
