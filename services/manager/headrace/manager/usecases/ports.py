"""Ports of the use cases: protocols of what they need from loops and inbox.

They decouple use cases from both, and tests pass fakes here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Literal, Protocol

from headrace.common.contracts.ids import KernelId, ProxyId, RuleId, ServiceId
from headrace.common.contracts.messages.rulestates import RuleOutcome
from headrace.manager.domain.lifecycle.receipts import LastReport
from headrace.manager.domain.lifecycle.status import Presence
from headrace.manager.domain.records.instances import BusState

LoopName = Literal[
    "services",
    "placement",
    "plans",
    "routes",
    "rules",
    "agents",
    "receipts",
    "drains",
    "revocations",
    "housekeeping",
    "secrets",
    "measuring",
    "definitions",
    "counting",
    "snapshots",
    "trash",
    "imports",
    "live-changes",
    "webhooks",
    "metric-history",
]


class Pokes(Protocol):
    """Wake-ups of the loops, by name."""

    def poke(self, *loops: LoopName) -> None:
        """Request a pass of these loops soon. Carries no data and never fails."""


class LogReader(Protocol):
    """Reader of kernels' logs, wherever they run."""

    def check(self) -> None:
        """Raise BusUnavailable while no agent can be asked."""

    def lines(
        self, agent_id: str, kernel_id: KernelId, *, tail: int | None, follow: bool, since: str | None = None
    ) -> AsyncIterator[str]:
        """Yield `<RFC 3339 UTC timestamp> <text>` lines: the last `tail` (None: all kept), then with `follow` new ones.

        Some from before `since` may be among them. Raises NotFound when the agent keeps no such log, BusUnavailable
        when it cannot be asked.
        """


class RuleOutcomes(Protocol):
    """Newest outcomes of rules, as autoscalers reported them."""

    def of(self, service_id: ServiceId, rule_id: RuleId) -> RuleOutcome | None:
        """Return the last reported outcome; None before the first."""


class BusServers(Protocol):
    """NATS, as this manager is connected to it."""

    def unreachable(self) -> str | None:
        """Return since when there is no connection, and why; None while there is one."""

    async def look(self) -> BusState:
        """Ask it of itself and its streams; takes a few seconds at most, and raises nothing."""


class ManagerState(Protocol):
    """This manager, as it reports itself."""

    def manager_name(self) -> str:
        """Return its name."""

    def database_problem(self) -> str | None:
        """Return since when the database takes nothing, and why; None while it does."""


class OwnPortQuestions(Protocol):
    """Questions to app-proxies about own ports."""

    async def refusals(self, port: int) -> Mapping[ProxyId, str]:
        """Return the app-proxies that cannot open this port, and why. Takes seconds at most, and raises nothing."""


class AppProxies(Protocol):
    """Newest reports of app-proxies."""

    def presence(self) -> Presence:
        """Return whether app-proxies are present."""

    def generations(self, service_id: ServiceId) -> Mapping[ProxyId, int]:
        """Return the generation of the service's route table at each present app-proxy; 0: none."""

    def unopened(self, port: int) -> Mapping[ProxyId, str]:
        """Return the app-proxies that could not open this port of a service, and why."""

    def opened(self, port: int) -> Collection[ProxyId]:
        """Return the present app-proxies that listen on this port of a service, as far as they report that."""

    def domains(self) -> Mapping[ProxyId, str]:
        """Return the domain of each app-proxy of the last minutes; empty: no service has a host name there."""

    def gathered(self) -> bool:
        """Return whether there are app-proxies, and all had time to report."""

    def remembered(self) -> Mapping[ProxyId, LastReport]:
        """Return the newest report of each app-proxy of the last minutes, also of absent ones."""
