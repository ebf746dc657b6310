"""Propagation of revocations to app-proxies, by the generations of route tables that they report. Pure.

A revocation is in force where every table with it is applied; tokens are checked offline, so nothing else shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from headrace.common.contracts.ids import ProxyId, ServiceId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.service import RevocationReason
from headrace.manager.domain.lifecycle.receipts import LastReport
from headrace.manager.domain.lifecycle.status import Presence

AWAY_AFTER: Final = timedelta(seconds=5)
"""An app-proxy without a report for this long is absent; it reports every second."""
MAX_LISTED_PROXIES: Final = 100
_NOBODY: Final[Mapping[Presence, Reason]] = {
    "away": Reason.of(
        RevocationReason.APP_PROXY_AWAY,
        "no app-proxy is heard of; one that comes back applies it before it serves new callers",
    ),
    "bus-away": Reason.of(
        RevocationReason.BUS_AWAY, "the manager is cut off from the message bus, so no app-proxy hears of it"
    ),
}
_GATHERING: Final = Reason.of(
    RevocationReason.APP_PROXIES_UNKNOWN, "this manager has not had the time yet to hear of all app-proxies"
)


@dataclass(frozen=True)
class LaggingProxy:
    """App-proxy that is not known to refuse the revoked credential."""

    proxy_id: ProxyId
    heard_s: float
    """Age of its last report."""
    reason: Reason


@dataclass(frozen=True)
class Propagation:
    """Progress of a revocation.

    `in_force`: whether every app-proxy refuses the credential; None when it is not tracked any more.
    """

    in_force: bool | None
    reason: Reason
    applied: tuple[ProxyId, ...] = ()
    missing: tuple[LaggingProxy, ...] = ()


NOT_FOLLOWED: Final = Propagation(
    None, Reason.of(RevocationReason.NOT_FOLLOWED, "it was revoked more than a day ago, or opened no service")
)


def in_force(
    needed: Mapping[ServiceId, int],
    heard: Mapping[ProxyId, LastReport],
    presence: Presence,
    now: datetime,
    *,
    gathered: bool,
) -> Propagation:
    """Return at which app-proxies a revocation is in force.

    `needed`: the table generations that contain it; `heard`: every app-proxy's last report, also of absent ones;
    `gathered`: whether all app-proxies had time to report.
    """
    applied, missing = [], []
    for proxy_id, one in sorted(heard.items()):
        has = one.report.generations
        lacking = sum(1 for service_id, generation in needed.items() if has.get(service_id, 0) < generation)
        if lacking:
            missing.append(_missing(proxy_id, lacking, now - one.at))
        else:
            applied.append(proxy_id)
    everywhere = bool(applied) and not missing and gathered
    return Propagation(
        in_force=everywhere,
        applied=tuple(applied[:MAX_LISTED_PROXIES]),
        missing=tuple(missing[:MAX_LISTED_PROXIES]),
        reason=_reason(len(applied), len(missing), presence, everywhere=everywhere),
    )


def _missing(proxy_id: ProxyId, lacking: int, silent: timedelta) -> LaggingProxy:
    seconds = max(0.0, round(silent.total_seconds(), 1))
    if silent > AWAY_AFTER:
        text = (
            f"it has not reported for {seconds:.0f} s; if it still serves, it refuses once it reaches the message bus"
        )
        return LaggingProxy(proxy_id=proxy_id, heard_s=seconds, reason=Reason.of(RevocationReason.APP_PROXY_AWAY, text))
    tables = "the route table" if lacking == 1 else f"{lacking} route tables"
    text = f"it has not applied {tables} with it yet"
    return LaggingProxy(proxy_id=proxy_id, heard_s=seconds, reason=Reason.of(RevocationReason.APP_PROXY_BEHIND, text))


def _reason(applied: int, missing: int, presence: Presence, *, everywhere: bool) -> Reason:
    if presence in _NOBODY and (missing or not applied):
        return _NOBODY[presence]
    if not everywhere and not missing:
        return _GATHERING
    code = RevocationReason.IN_FORCE if everywhere else RevocationReason.NOT_IN_FORCE
    return Reason.of(code, f"in force at {applied} of {applied + missing} app-proxies")
