"""Reports of app-proxies, in memory: route tables in use, drains, listening ports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from headrace.common.contracts.ids import ProxyId, ServiceId, SessionId
from headrace.common.contracts.messages.reports import ProxyReport
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.lifecycle.receipts import LastReport
from headrace.manager.domain.lifecycle.status import Presence

REMEMBERED_FOR = timedelta(minutes=10)
MAX_ABSENT_PROXIES = 32
"""Bound on remembered absent app-proxies."""


class AppProxyReports:
    """Newest reports of all app-proxies, in memory: each manager subscribes to all.

    Absent ones are remembered for REMEMBERED_FOR, for callers who ask what they have not applied; they may still serve.
    """

    def __init__(
        self,
        clock: Clock,
        poke: Callable[..., None],
        *,
        forget_after: timedelta = timedelta(seconds=10),
        gather_for: timedelta = timedelta(seconds=3),
        connected: Callable[[], bool] = lambda: True,
    ) -> None:
        self._connected = connected
        self._listening_since: datetime | None = None
        self._made_at = clock()
        self._clock = clock
        self._poke = poke
        self._forget_after = forget_after
        self.gather_for = gather_for
        """Time within which all app-proxies have reported."""
        self._since: datetime | None = None
        self._reports: dict[ProxyId, LastReport] = {}

    async def heard(self, report: ProxyReport) -> None:
        """Store the newest report of an app-proxy."""
        before = self.lately().get(report.proxy_id)
        if before is not None and before.report.sent_at > report.sent_at:
            return
        now = self._clock()
        if not self.lately():
            self._since = now  # the others, if there are any, report within a second
        self._reports = {**self.remembered(), report.proxy_id: LastReport(now, report)}
        if _has_drain_news(before.report if before is not None else None, report):
            self._poke("services", "receipts")

    def released(self, service_id: ServiceId, session_id: SessionId, generation: int | None) -> bool:
        """Return whether every present app-proxy has applied the drain and has no request open on the session.

        The drain is applied with the table `generation`. False while no app-proxy is present: then the grace decides.
        False also until all had time to report (`gather_for`) after this manager started or its bus connection
        returned.
        """
        if generation is None or not self.gathered():
            return False
        return all(_has_released(one.report, service_id, session_id, generation) for one in self.lately().values())

    def claimed(self) -> dict[ServiceId, int]:
        """Return every service that a present app-proxy routes, and the highest generation that one of them has."""
        highest: dict[ServiceId, int] = {}
        for one in self.lately().values():
            for service_id, generation in one.report.generations.items():
                highest[service_id] = max(generation, highest.get(service_id, 0))
        return highest

    def listening(self) -> None:
        """Record that reports arrive from now on: at the start, and when the bus connection returned.

        Absence counts only after `gather_for`.
        """
        self._listening_since = self._clock()

    def presence(self) -> Presence:
        """Return whether app-proxies are present.

        `unknown` for `gather_for` after the start and after the bus connection returned.
        """
        if self.lately():
            return "heard"
        since = self._listening_since if self._connected() else None
        if self._clock() - (since or self._made_at) < self.gather_for:
            return "unknown"
        return "away" if since is not None else "bus-away"

    def generations(self, service_id: ServiceId) -> dict[ProxyId, int]:
        """Return the generation of the service's table at each present app-proxy; 0: none."""
        return {proxy_id: one.report.generations.get(service_id, 0) for proxy_id, one in self.lately().items()}

    def unopened(self, port: int) -> dict[ProxyId, str]:
        """Return the present app-proxies that could not open this port of a service, and why."""
        lately = self.lately().items()
        return {proxy_id: why for proxy_id, one in lately if (why := one.report.ports_failed.get(port)) is not None}

    def opened(self, port: int) -> frozenset[ProxyId]:
        """Return the present app-proxies that listen on this port of a service; also those whose version does not report it."""
        lately = self.lately().items()
        return frozenset(
            proxy_id for proxy_id, one in lately if one.report.ports_open is None or port in one.report.ports_open
        )

    def domains(self) -> dict[ProxyId, str]:
        """Return the domain of each remembered app-proxy: addresses stay while one restarts."""
        return {proxy_id: one.report.domain for proxy_id, one in self.remembered().items()}

    def gathered(self) -> bool:
        """Return whether there are app-proxies, and all had time to report."""
        return bool(self.lately()) and self._since is not None and self._clock() - self._since >= self.gather_for

    def remembered(self) -> dict[ProxyId, LastReport]:
        """Return the newest report of each app-proxy, also of those absent for minutes (at most MAX_ABSENT_PROXIES of these)."""
        now = self._clock()
        known = {proxy_id: one for proxy_id, one in self._reports.items() if now - one.at <= REMEMBERED_FOR}
        away = sorted((one.at, proxy_id) for proxy_id, one in known.items() if now - one.at > self._forget_after)
        for _, proxy_id in away[:-MAX_ABSENT_PROXIES]:
            del known[proxy_id]
        return known

    def lately(self) -> dict[ProxyId, LastReport]:
        """Return the newest report of each present app-proxy."""
        now = self._clock()
        return {proxy_id: one for proxy_id, one in self._reports.items() if now - one.at <= self._forget_after}


def _has_drain_news(before: ProxyReport | None, report: ProxyReport) -> bool:
    """Return whether the report has news about drains; a drain is listed for minutes after its end."""
    if before is None:
        return bool(report.draining)
    return report.draining != before.draining or (bool(report.draining) and report.generations != before.generations)


def _has_released(report: ProxyReport, service_id: ServiceId, session_id: SessionId, generation: int) -> bool:
    return report.generations.get(service_id, 0) >= generation and not any(
        route.session_id == session_id and route.in_flight for route in report.draining
    )
