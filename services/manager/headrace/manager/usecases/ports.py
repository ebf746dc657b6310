"""What use cases ask of the rest of the manager."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Literal, Protocol

from headrace.common.contracts.ids import KernelId, ProxyId, RuleId, ServiceId
from headrace.common.contracts.messages.rulestates import RuleOutcome
from headrace.manager.domain.lifecycle.receipts import Heard
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
    """The loops, by name."""

    def poke(self, *loops: LoopName) -> None:
        """Ask these loops to look soon. Carries no data and never fails."""


class LogReader(Protocol):
    """A kernel's log, wherever it runs."""

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
    """What the autoscaler made of each rule last."""

    def of(self, service_id: ServiceId, rule_id: RuleId) -> RuleOutcome | None:
        """Return the last outcome that was heard of, None before the first."""


class AppProxies(Protocol):
    """What app-proxies reported last."""

    def presence(self) -> Presence:
        """Return whether app-proxies are heard of."""

    def generations(self, service_id: ServiceId) -> Mapping[ProxyId, int]:
        """Return which generation of the service's route table each app-proxy that is heard of has; 0: none."""

    def unopened(self, port: int) -> Mapping[ProxyId, str]:
        """Return which app-proxies could not open this port of a service, and why."""

    def gathered(self) -> bool:
        """Whether there are app-proxies, and all had time to be heard of."""

    def remembered(self) -> Mapping[ProxyId, Heard]:
        """Return the newest report of each app-proxy that was heard of in the last minutes, also of those that are away now."""
