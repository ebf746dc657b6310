"""A service is healthy only where app-proxies are heard of and have its newest table; who just started waits before it judges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from headrace.common.contracts.ids import ProxyId, ServiceId
from headrace.common.contracts.messages.reports import ProxyReport
from headrace.common.contracts.reasons import Reason
from headrace.manager.domain.lifecycle.status import (
    BEHIND_AFTER,
    StatusOfService,
    behind,
    with_app_proxies,
    with_tables,
)
from headrace.manager.inbox.app_proxies import MAX_ABSENT_PROXIES, AppProxyReports

START = datetime(2026, 1, 1, tzinfo=UTC)
SERVICE = ServiceId(UUID(int=1))
ONE, OTHER = ProxyId("proxy-1"), ProxyId("proxy-2")
HEALTHY = StatusOfService("healthy", "deployed", Reason(code="all-healthy", text="1 of 1 replicas healthy"), 1)
CUT_OFF = (
    "the manager is cut off from the message bus, so it hears of no change and cannot tell whether callers get through; "
    "1 of 1 replicas healthy"
)


class Heard:
    """What a manager hears of app-proxies, on a clock and a bus that the test moves."""

    def __init__(self) -> None:
        self.now, self.connected = START, True
        self.proxies = AppProxyReports(lambda: self.now, lambda *_: None, connected=lambda: self.connected)

    def after(self, seconds: float) -> str:
        self.now += timedelta(seconds=seconds)
        return self.proxies.presence()

    async def report(self, proxy_id: ProxyId = ONE, generation: int | None = 1) -> None:
        generations = {} if generation is None else {SERVICE: generation}
        await self.proxies.heard(
            ProxyReport(proxy_id=proxy_id, sent_at=self.now, url="http://p", generations=generations)
        )


async def test_an_app_proxy_that_is_silent_is_away_and_one_that_reports_again_is_there() -> None:
    heard = Heard()
    heard.proxies.listening()
    await heard.report()
    assert heard.after(9) == "heard"
    assert heard.after(11) == "away"
    await heard.report()
    assert heard.after(0) == "heard"


async def test_a_manager_that_just_started_or_got_the_bus_back_waits_before_it_judges() -> None:
    heard = Heard()
    assert heard.after(2) == "unknown", "it does not listen yet"
    heard.proxies.listening()
    assert heard.after(2) == "unknown", "app-proxies report every second"
    assert heard.after(2) == "away"
    heard.connected = False
    assert heard.after(0) == "bus-away"
    heard.connected = True
    heard.proxies.listening()
    assert [heard.after(2), heard.after(2)] == ["unknown", "away"]


def test_a_manager_that_never_gets_the_bus_says_so_and_not_that_nobody_is_there() -> None:
    heard = Heard()
    heard.connected = False
    assert [heard.after(2), heard.after(2)] == ["unknown", "bus-away"]


async def test_generations_are_those_of_app_proxies_heard_of_lately() -> None:
    heard = Heard()
    await heard.report(OTHER, 4)
    heard.after(11)
    await heard.report(ONE, 5)
    assert heard.proxies.generations(SERVICE) == {ONE: 5}
    await heard.report(OTHER, None)
    assert heard.proxies.generations(SERVICE) == {ONE: 5, OTHER: 0}


async def test_of_app_proxies_that_came_and_went_the_last_are_remembered() -> None:
    heard = Heard()
    for number in range(50):
        heard.after(4)
        await heard.report(ProxyId(f"proxy-{number}"))
    assert set(heard.proxies.lately()) == {ProxyId(f"proxy-{number}") for number in (47, 48, 49)}
    assert len(heard.proxies._reports) <= MAX_ABSENT_PROXIES + 4


def test_an_app_proxy_is_behind_only_after_it_had_time_to_apply_the_table() -> None:
    has = {ONE: 3, OTHER: 0}
    assert behind(has, 3, START, START + BEHIND_AFTER - timedelta(seconds=1)) == {}
    assert behind(has, 3, START, START + BEHIND_AFTER) == {OTHER: 0}
    assert behind(has, None, None, START) == {}


@pytest.mark.parametrize(
    ("presence", "late", "status", "code", "text"),
    [
        ("heard", {}, "healthy", "all-healthy", "1 of 1 replicas healthy"),
        ("unknown", {}, "healthy", "all-healthy", "1 of 1 replicas healthy"),
        (
            "away",
            {},
            "unhealthy",
            "app-proxy-away",
            "no app-proxy is heard of, so callers reach nobody; 1 of 1 replicas healthy",
        ),
        (
            "heard",
            {ONE: 2, OTHER: 0},
            "degraded",
            "app-proxy-behind",
            "the newest route table has not been applied at proxy-1 (has generation 2), proxy-2 (has none); 1 of 1 replicas healthy",
        ),
        ("bus-away", {}, "degraded", "bus-away", CUT_OFF),
    ],
)
def test_what_callers_cannot_reach_is_not_healthy(
    presence: str, late: dict[ProxyId, int], status: str, code: str, text: str
) -> None:
    told = with_app_proxies(HEALTHY, presence, late)  # type: ignore[arg-type]  # plain strings for literals
    assert (told.status, told.phase, told.reason.code, told.reason.text) == (status, "deployed", code, text)


def test_a_table_that_cannot_be_made_is_in_the_status() -> None:
    assert with_tables(HEALTHY, None, None) == HEALTHY
    routes = with_tables(HEALTHY, "host: Input should be a string", "too large")
    assert (routes.status, routes.reason.code) == ("degraded", "route-table-not-built")
    assert routes.reason.text == (
        "app-proxies keep its route table before the newest change: host: Input should be a string; 1 of 1 replicas healthy"
    )
    rules = with_tables(HEALTHY, None, "too large")
    assert (rules.status, rules.reason.code) == ("degraded", "rule-table-not-built")
    down = StatusOfService("unhealthy", "deploying", Reason(code="starting", text="0 of 1 replicas healthy"), 0)
    assert with_tables(down, "too large", None).status == "unhealthy"


def test_a_service_without_a_serving_replica_keeps_the_reason_of_that() -> None:
    down = StatusOfService("unhealthy", "deploying", Reason(code="starting", text="0 of 1 replicas healthy"), 0)
    assert with_app_proxies(down, "away", {ONE: 0}) == down
