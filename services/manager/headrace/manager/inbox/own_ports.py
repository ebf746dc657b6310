"""Questions to app-proxies, whether a port can be a service's own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import ask
from headrace.common.contracts.ids import ProxyId
from headrace.common.contracts.messages.own_ports import OwnPortReply, OwnPortRequest
from headrace.common.contracts.problems import BusUnavailable, MalformedMessage
from headrace.manager.inbox.app_proxies import AppProxyReports

ANSWER_S = 2.0
"""Timeout of an app-proxy's reply: it only tries the port."""
MAX_ASKED = 256
"""App-proxies that are asked about one port."""


class BusOwnPorts:
    """Asks all present app-proxies at once, so that it takes as long as the slowest of them."""

    def __init__(self, bus: Bus, proxies: AppProxyReports) -> None:
        self._bus = bus
        self._proxies = proxies

    async def refusals(self, port: int) -> Mapping[ProxyId, str]:
        """Return the app-proxies that cannot open this port, and why; those that do not answer are left out."""
        asked = sorted(self._proxies.lately())[:MAX_ASKED]
        replies = await asyncio.gather(*(self._why_not(proxy_id, port) for proxy_id in asked))
        return {proxy_id: why for proxy_id, why in zip(asked, replies, strict=True) if why is not None}

    async def _why_not(self, proxy_id: ProxyId, port: int) -> str | None:
        request = OwnPortRequest(proxy_id=proxy_id, port=port)
        try:
            return (await ask(self._bus, request, OwnPortReply, timeout_s=ANSWER_S)).why_not
        except (BusUnavailable, MalformedMessage):  # an older version, or away: its reports say what came of the port
            return None
