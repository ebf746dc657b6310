"""Managers ask every app-proxy that reports, over a real bus, whether a port can be a service's own."""

from __future__ import annotations

from contextlib import AsyncExitStack

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import answering
from headrace.common.contracts.ids import ProxyId
from headrace.common.contracts.messages.own_ports import OwnPortReply, OwnPortRequest
from headrace.common.contracts.messages.reports import ProxyReport
from headrace.common.runtime.clock import utc_now
from headrace.manager.inbox.app_proxies import AppProxyReports
from headrace.manager.inbox.own_ports import BusOwnPorts


async def test_all_app_proxies_are_asked_and_those_that_do_not_answer_refuse_nothing(bus: Bus) -> None:
    proxies = AppProxyReports(utc_now, lambda *_: None)
    for name in ("free", "taken", "old"):
        await proxies.heard(ProxyReport(proxy_id=name, sent_at=utc_now(), url="http://proxy", generations={}))
    asked: list[OwnPortRequest] = []

    async def free(request: OwnPortRequest) -> OwnPortReply:
        asked.append(request)
        return OwnPortReply()

    async def taken(request: OwnPortRequest) -> OwnPortReply:
        asked.append(request)
        return OwnPortReply(why_not="Address already in use")

    ports = BusOwnPorts(bus, proxies)
    async with AsyncExitStack() as stack:
        for name, answer in (("free", free), ("taken", taken)):
            subject = OwnPortRequest.subject_for(proxy_id=name)
            await stack.enter_async_context(answering(bus, OwnPortRequest, answer, subject=subject))
        assert await ports.refusals(12_000) == {ProxyId("taken"): "Address already in use"}
    assert {(one.proxy_id, one.port) for one in asked} == {("free", 12_000), ("taken", 12_000)}
    assert await ports.refusals(12_000) == {}, "nobody answers any more"
    assert await BusOwnPorts(Bus(), proxies).refusals(12_000) == {}, "no bus"
