"""Ports of the use cases: protocols of what they need of loops and inbox.

They keep use cases from knowing either, and tests give stand-ins here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Literal, Protocol

from headrace.common.contracts.ids import KernelId, ProxyId, RuleId, ServiceId
from headrace.common.contracts.messages.rulestates import RuleOutcome
from headrace.manager.domain.lifecycle.receipts import LastReport
from headrace.manager.domain.lifecycle.status import Presence

LoopName = Literal[
    "services",
    "placement",
    "plans",
    "routes",
    "rules",
    "agents",
    "receipts",
    "housekeeping",
    "measuring",
]


class Pokes(Protocol):
    """Wake-ups of the loops, by name."""

    def poke(self, *loops: LoopName) -> None:
        """Ask these loops to look soon. Carries no data and never fails."""


class LogReader(Protocol):
    """Reader of kernels' logs, wherever they run."""

    def check(self) -> None:
        """Raise BusUnavailable while no agent can be asked."""

    def lines(
        self, agent_id: str, kernel_id: KernelId, *, tail: int | None, follow: bool, since: str | None = None
    ) -> AsyncIterator[str]:
        """Yield `<RFC 3339 UTC timestamp> <text>` lines, the last `tail` (None: all kept), then with `follow` those that come.

        Of those before `since` some may come all the same.

        Raises NotFound when the agent keeps no such log, BusUnavailable when it cannot be asked.
        """


class RuleOutcomes(Protocol):
    """Newest outcomes of rules, as autoscalers reported them."""

    def of(self, service_id: ServiceId, rule_id: RuleId) -> RuleOutcome | None:
        """Return the last outcome that was heard of, None before the first."""


class AppProxies(Protocol):
    """Newest reports of app-proxies."""

    def presence(self) -> Presence:
        """Return whether app-proxies are heard of."""

    def generations(self, service_id: ServiceId) -> Mapping[ProxyId, int]:
        """Return which generation of the service's route table each app-proxy that is heard of has; 0: none."""

    def unopened(self, port: int) -> Mapping[ProxyId, str]:
        """Return which app-proxies could not open this port of a service, and why."""

    def gathered(self) -> bool:
        """Whether there are app-proxies, and all had time to be heard of."""

    def remembered(self) -> Mapping[ProxyId, LastReport]:
        """Return the newest report of each app-proxy that was heard of in the last minutes, also of those that are away now."""
