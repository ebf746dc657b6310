"""Reports of app-proxies and autoscalers as parts of the installation, until a pass stores them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from headrace.common.contracts.messages.autoscalers import AutoscalerReport
from headrace.common.contracts.messages.instances import ServiceInstance
from headrace.common.contracts.messages.reports import ProxyReport
from headrace.common.contracts.vocabulary import InstanceKind
from headrace.common.runtime.clock import Monotonic
from headrace.manager.domain.records.instances import Facts

MAX_HEARD: Final = 256
"""App-proxies and autoscalers that one pass stores; more have no row."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Report of one process, and when it came (by the monotonic clock)."""

    kind: InstanceKind
    name: str
    at: float
    instance: ServiceInstance | None
    """None: its version does not report it."""
    address: str
    facts: Facts


class HeardInstances:
    """Newest report of each app-proxy and autoscaler since the last `take()`; each manager subscribes to all.

    `on_news` is called for a report that says something else than the one before: it is stored at once then.
    """

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._heard: dict[tuple[str, str], Heard] = {}
        self._known: dict[tuple[str, str], tuple[object, ...]] = {}
        """What the last report of each said of its state; of at most MAX_HEARD."""
        self.on_news: Callable[[], None] = lambda: None

    async def proxy(self, report: ProxyReport) -> None:
        """Keep an app-proxy's report."""
        self._keep("app-proxy", report.proxy_id, report.instance, report.url, {"services": len(report.generations)})

    async def autoscaler(self, report: AutoscalerReport) -> None:
        """Keep an autoscaler's report."""
        facts: dict[str, str | int | float] = {"services": report.services, "evaluated": report.evaluated}
        if report.last_tick_at is not None:
            facts["last_tick_at"] = report.last_tick_at.isoformat()
        if report.redis is not None:
            facts |= {f"redis_{name}": value for name, value in report.redis.model_dump().items()}
        self._keep("autoscaler", report.autoscaler_id, report.instance, "", facts)

    def take(self) -> Sequence[Heard]:
        """Return what was heard since the last call."""
        heard, self._heard = list(self._heard.values()), {}
        return heard

    def _keep(
        self, kind: InstanceKind, name: str, instance: ServiceInstance | None, address: str, facts: Facts
    ) -> None:
        key = (kind, name)
        if key not in self._heard and len(self._heard) >= MAX_HEARD:
            return
        self._heard[key] = Heard(kind, name, self._monotonic(), instance, address, facts)
        state = () if instance is None else (instance.started_at, instance.stopping, *sorted(instance.checks))
        if self._known.get(key) == state:
            return
        self._known[key] = state
        if len(self._known) > MAX_HEARD:
            del self._known[next(iter(self._known))]
        self.on_news()
