"""Receipts: what app-proxies tell leads to the same sums in any order and however often it is heard."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.reports import DrainingRoute, DrainReceipt, ProxyReport
from headrace.manager.domain.lifecycle.receipts import (
    Drain,
    DrainShare,
    LastReport,
    complete,
    merged,
    total,
    updated,
    waiting_for,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVICE, ONE, OTHER = ServiceId(UUID(int=1)), SessionId(UUID(int=2)), SessionId(UUID(int=3))
DRAIN = Drain(ONE, SERVICE, generation=5, over=False, counted=False, parts={})
OVER = replace(DRAIN, over=True)

counts = st.integers(0, 1000)
receipts = st.builds(
    DrainReceipt,
    started=counts,
    finished=counts,
    retried=counts,
    failed=counts,
    cut=counts,
    slowest_s=st.floats(0, 100),
)
parts = st.builds(DrainShare, st.none() | counts, receipts)


def receipt(started: int = 3, **ended: float) -> DrainReceipt:
    return DrainReceipt(
        **{"finished": 0, "retried": 0, "failed": 0, "cut": 0, "slowest_s": 0.0, "started": started, **ended}
    )


def report(proxy: str, *draining: DrainingRoute, generation: int = 5, at: datetime = NOW) -> dict[str, LastReport]:
    said = ProxyReport(proxy_id=proxy, sent_at=at, url="http://p", generations={SERVICE: generation}, draining=draining)
    return {proxy: LastReport(at, said)}


def route(in_flight: int, told: DrainReceipt | None = None, session: SessionId = ONE) -> DrainingRoute:
    return DrainingRoute(session_id=session, in_flight=in_flight, receipt=told)


def heard(
    drain: Drain, *reports: dict[str, LastReport], since: datetime = NOW - timedelta(seconds=1), gathered: bool = True
) -> Drain:
    return updated(drain, {name: one for said in reports for name, one in said.items()}, since=since, gathered=gathered)


@given(parts, parts, parts)
def test_order_and_repetition_do_not_matter(one: DrainShare, two: DrainShare, three: DrainShare) -> None:
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))
    assert merged(one, one) == one
    assert merged(one, DrainShare()) == one


@given(st.lists(st.tuples(st.sampled_from(["p1", "p2", "p3"]), counts, receipts), min_size=1, max_size=6), st.randoms())
def test_managers_that_hear_reports_in_other_orders_keep_the_same(
    told: list[tuple[str, int, DrainReceipt]], chance: object
) -> None:
    def keep(order: list[tuple[str, int, DrainReceipt]]) -> Drain:
        drain = OVER
        for proxy, in_flight, kept in order:
            drain = heard(drain, report(proxy, route(in_flight, kept)))
        return drain

    shuffled = told * 2
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' Random
    assert keep(told) == keep(shuffled)


def test_the_sum_over_app_proxies() -> None:
    drain = heard(
        DRAIN,
        report("p1", route(1, receipt(3, finished=2, slowest_s=1.5))),
        report("p2", route(0, receipt(2, retried=1, cut=1, slowest_s=4.0))),
    )
    found = total(drain.parts.values())
    assert (found.started, found.finished, found.retried, found.cut, found.failed, found.slowest_s) == (
        5,
        2,
        1,
        1,
        0,
        4.0,
    )
    assert waiting_for(drain.parts) == ("p1",)
    assert total([]).started == 0


def test_it_is_complete_when_the_drain_is_over_and_all_have_told() -> None:
    told = heard(DRAIN, report("p1", route(0, receipt(1, finished=1))))
    assert not complete(told.parts, counted=told.counted), "it still drains"
    over = heard(replace(told, over=True), report("p1"), gathered=False)
    assert not complete(over.parts, counted=over.counted), "others may not have been heard of yet"
    over = heard(over, report("p1"), report("p2", generation=4))
    assert (complete(over.parts, counted=over.counted), waiting_for(over.parts)) == (False, ("p2",))
    over = heard(over, report("p2", generation=5))
    assert complete(over.parts, counted=over.counted), "it has the table and names nothing"
    assert total(over.parts.values()).finished == 1
    assert not complete({}, counted=True), "nobody told anything"


def test_who_came_after_the_count_or_was_not_heard_since_is_not_waited_for() -> None:
    counted = heard(OVER, report("p1", route(0)))
    assert waiting_for(heard(counted, report("late", generation=0)).parts) == ()
    assert waiting_for(heard(OVER, report("gone", generation=4), since=NOW).parts) == ()
    unknown = replace(OVER, generation=None)
    assert heard(unknown, report("p1")).parts == {}, "no table told that it drains: silence says nothing"
    assert heard(unknown, report("p1", route(0, receipt()))).parts["p1"].counts.started == 3


def test_an_app_proxy_that_died_or_began_anew_is_remembered() -> None:
    drain = heard(DRAIN, report("p1", route(2, receipt(3, finished=1))))
    gone = heard(replace(drain, over=True), report("p2", route(0)))
    assert waiting_for(gone.parts) == ("p1",)
    back = heard(gone, report("p1", generation=6))
    assert complete(back.parts, counted=back.counted)
    found = total(back.parts.values())
    assert (found.started, found.finished) == (3, 1), "two are nobody's: they went with it"


def test_reports_of_others_say_nothing() -> None:
    assert heard(DRAIN, report("p1", route(4, receipt(), OTHER), generation=0), since=NOW).parts == {}
