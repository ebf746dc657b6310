"""Where a revocation is in force, as app-proxies' reports say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from headrace.common.contracts.ids import ProxyId, ServiceId
from headrace.common.contracts.messages.reports import ProxyReport
from headrace.manager.domain.in_force import Propagation, in_force
from headrace.manager.domain.lifecycle.receipts import LastReport
from headrace.manager.domain.lifecycle.status import Presence
from headrace.manager.inbox.app_proxies import MAX_ABSENT_PROXIES, REMEMBERED_FOR, AppProxyReports

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHAT, ECHO = ServiceId(UUID(int=1)), ServiceId(UUID(int=2))
A, B = ProxyId("proxy-a"), ProxyId("proxy-b")
NEEDED = {CHAT: 5, ECHO: 2}


def heard(proxy_id: ProxyId, *, chat: int = 5, echo: int = 2, ago_s: float = 0.4) -> LastReport:
    report = ProxyReport(proxy_id=proxy_id, sent_at=NOW, url="http://p", generations={CHAT: chat, ECHO: echo})
    return LastReport(NOW - timedelta(seconds=ago_s), report)


def seen(*heard_of: LastReport, presence: Presence = "heard", gathered: bool = True) -> Propagation:
    by_id = {one.report.proxy_id: one for one in heard_of}
    return in_force(NEEDED, by_id, presence, NOW, gathered=gathered)


def test_it_is_in_force_where_every_table_is_new_enough() -> None:
    view = seen(heard(A), heard(B, chat=7))
    assert (view.in_force, view.applied, view.missing) == (True, (A, B), ())
    assert view.reason.text == "in force at 2 of 2 app-proxies"


@pytest.mark.parametrize(
    ("has", "words"), [({"chat": 4}, "the route table"), ({"chat": 0, "echo": 1}, "2 route tables")]
)
def test_one_table_that_is_older_is_enough_to_be_behind(has: dict[str, int], words: str) -> None:
    view = seen(heard(A), heard(B, **has))
    assert (view.in_force, view.applied) == (False, (A,))
    (missing,) = view.missing
    assert (missing.proxy_id, missing.reason.code) == (B, "app-proxy-behind")
    assert missing.reason.text == f"it has not applied {words} with it yet"
    assert view.reason.text == "in force at 1 of 2 app-proxies"


def test_an_app_proxy_that_went_silent_without_it_is_named_with_how_long() -> None:
    view = seen(heard(A), heard(B, chat=4, ago_s=12))
    (missing,) = view.missing
    assert (view.in_force, missing.heard_s, missing.reason.code) == (False, 12.0, "app-proxy-away")
    assert missing.reason.text.startswith("it has not reported for 12 s")
    assert seen(heard(A), heard(B, ago_s=12)).in_force, "what it applied before it went, it applied"


@pytest.mark.parametrize(
    ("presence", "code"), [("away", "app-proxy-away"), ("bus-away", "bus-away"), ("unknown", "app-proxies-unknown")]
)
def test_where_nobody_is_heard_of_it_is_in_force_nowhere(presence: Presence, code: str) -> None:
    view = seen(presence=presence, gathered=False)
    assert (view.in_force, view.reason.code) == (False, code)


def test_a_manager_that_just_started_does_not_speak_for_all() -> None:
    view = seen(heard(A), gathered=False)
    assert (view.in_force, view.applied, view.reason.code) == (False, (A,), "app-proxies-unknown")


async def test_app_proxies_that_went_are_remembered_for_minutes_and_so_many() -> None:
    now = [NOW]
    proxies = AppProxyReports(lambda: now[0], lambda *_: None)

    async def report(proxy_id: ProxyId) -> None:
        await proxies.heard(ProxyReport(proxy_id=proxy_id, sent_at=now[0], url="http://p", generations={CHAT: 1}))

    for number in range(MAX_ABSENT_PROXIES + 5):
        await report(ProxyId(f"old-{number}"))
        now[0] += timedelta(milliseconds=1)
    now[0] += timedelta(seconds=20)
    await report(A)
    assert set(proxies.lately()) == {A}
    assert set(proxies.remembered()) == {A, *(f"old-{number}" for number in range(5, MAX_ABSENT_PROXIES + 5))}
    assert len(proxies._reports) <= MAX_ABSENT_PROXIES + 1 + 5
    await report(A)
    assert len(proxies._reports) == MAX_ABSENT_PROXIES + 1
    now[0] += REMEMBERED_FOR
    await report(B)
    assert set(proxies.remembered()) == {A, B}
    assert proxies.generations(CHAT) == {B: 1}
