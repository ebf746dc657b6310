"""Service status (whether it can serve), phase (whether it is as requested) and reason, from its replicas' present state.

Never healthy while nobody answers: only a running kernel that passed its last health check counts; a draining one,
which takes no new requests, does not. Callers come through app-proxies, so their state counts too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol

from headrace.common.contracts.ids import ProxyId, RevisionId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.service import ServiceReason
from headrace.common.contracts.rollout import is_none
from headrace.common.contracts.vocabulary import HealthStatus, KernelState, ServicePhase, ServiceStatus, SessionStatus
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.lifecycle.replica_failures import RAN_WELL
from headrace.manager.domain.lifecycle.replica_state import MAX_FAILED_STARTS
from headrace.manager.domain.lifecycle.rollout_status import Standing, standing, under_way
from headrace.manager.domain.records.replicas import Replica
from headrace.manager.domain.records.services import Service, ServiceFacts

Presence = Literal["unknown", "heard", "away", "bus-away"]
"""Whether app-proxies report to this manager; unknown: they had no time to yet."""
BEHIND_AFTER = timedelta(seconds=5)
"""An app-proxy that lacks a route table for this long is reported as behind; it usually applies one in milliseconds."""


class LiveReplica(Protocol):
    """Live session with its main kernel."""

    @property
    def status(self) -> SessionStatus: ...  # noqa: D102
    @property
    def health(self) -> HealthStatus: ...  # noqa: D102
    @property
    def kernel_state(self) -> KernelState | None: ...  # noqa: D102
    @property
    def revision_id(self) -> RevisionId | None: ...  # noqa: D102
    @property
    def revision(self) -> int: ...  # noqa: D102
    @property
    def reason_code(self) -> str: ...  # noqa: D102
    @property
    def reason_text(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class StatusOfService:
    """Status, phase and reason of a service, as shown to callers."""

    status: ServiceStatus
    phase: ServicePhase
    reason: Reason
    healthy_replicas: int


@dataclass(frozen=True)
class Reachability:
    """Reachability of a service: state of app-proxies and tables that decides whether callers reach its replicas."""

    presence: Presence
    generations: Mapping[ProxyId, int]
    """Generation of the service's route table at each app-proxy."""
    unopened: Mapping[ProxyId, str]
    """App-proxies that could not open the service's own port, and why."""
    opened: Collection[ProxyId] = frozenset()
    """App-proxies that listen on the service's own port."""
    domains: Mapping[ProxyId, str] = field(default_factory=dict)
    """Domain of each app-proxy; empty: no service has a host name there."""


def status_of(facts: ServiceFacts, replicas: Sequence[Replica], reach: Reachability, now: datetime) -> StatusOfService:
    """Return the status of a service by its replicas, and by the app-proxies and tables between them and callers."""
    service = facts.service
    state = service_status(
        service, replicas, now, last_error=facts.last_error or "", revision=facts.revision, served=facts.served
    )
    if not facts.running:
        return state
    if facts.service.problem is None and under_way(facts):
        state = with_rollout(state, standing(facts, replicas, now))
    state = with_tables(state, facts.routes_problem, facts.rules_problem)
    if service.endpoint_port is not None:
        state = with_own_port(state, service.endpoint_port, reach.unopened)
    late = behind(reach.generations, facts.published, facts.published_at, now)
    return with_app_proxies(state, reach.presence, late)


def serves(replica: LiveReplica) -> bool:
    """Return whether new requests may go to it."""
    return states.ready(replica.status, replica.kernel_state, replica.health)


def service_status(
    service: Service,
    replicas: Sequence[LiveReplica],
    now: datetime,
    *,
    last_error: str = "",
    revision: int = 0,
    served: int | None = None,
) -> StatusOfService:
    """Return status, phase and reason of a service by its replicas alone.

    `replicas`: the live sessions. `last_error`: text of the newest failed start. `revision`, `served`: numbers of the
    current revision, and of the last one that served alone.
    """
    serving = [replica for replica in replicas if serves(replica)]
    phase = _phase(service, replicas, serving)
    rollout = _Rollout(revision, served) if served not in {None, revision} else None
    reason = _reason(service, replicas, serving, phase, now, last_error, rollout)
    if service.problem is not None:
        reason = Reason.of(
            ServiceReason.NOT_HANDLED, f"its replicas are not looked after: {service.problem}; {reason.text}"
        )
    return StatusOfService(_status(service, len(serving)), phase, reason, len(serving))


def with_rollout(state: StatusOfService, rollout: Standing) -> StatusOfService:
    """Return the status with what holds the rollout: a pause, a step, the lack of a promotion, or that it failed."""
    if rollout.phase == "failed" and state.phase != "failed":
        why = f"the rollout failed: {rollout.reason.text}; {state.reason.text}"
        return replace(state, phase="failed", reason=Reason.of(ServiceReason.ROLLOUT_FAILED, why))
    if rollout.phase in {"paused", "waiting"}:
        return replace(state, phase="deploying", reason=rollout.reason)
    if state.phase != "deployed" or rollout.new.wanted == 0:  # where none is wanted there is nothing to deploy
        return state
    return replace(state, phase="deploying", reason=rollout.reason)


def with_own_port(state: StatusOfService, port: int, unopened: Mapping[ProxyId, str]) -> StatusOfService:
    """Return the status with the app-proxies that could not open the service's own port, and why: callers there reach nobody."""
    if not unopened or state.status == "unhealthy":
        return state
    proxies = ", ".join(f"{proxy_id} ({why})" for proxy_id, why in sorted(unopened.items())[:5])
    text = f"port {port} is not open at {proxies}; path and host name serve; {state.reason.text}"
    return replace(state, status="degraded", reason=Reason.of(ServiceReason.ENDPOINT_PORT_FAILED, text))


def with_tables(state: StatusOfService, routes: str | None, rules: str | None) -> StatusOfService:
    """Return the status with the route or rule table that cannot be built, and why: the ones before stay in force."""
    if routes is not None:
        code, why = (
            ServiceReason.ROUTE_TABLE_NOT_BUILT,
            f"app-proxies keep its route table before the newest change: {routes}",
        )
    elif rules is not None:
        code, why = (
            ServiceReason.RULE_TABLE_NOT_BUILT,
            f"the autoscaler keeps its rules before the newest change: {rules}",
        )
    else:
        return state
    status: ServiceStatus = "unhealthy" if state.status == "unhealthy" else "degraded"
    return replace(state, status=status, reason=Reason.of(code, f"{why}; {state.reason.text}"))


def with_app_proxies(state: StatusOfService, presence: Presence, behind: Mapping[ProxyId, int]) -> StatusOfService:
    """Return the status with absent and lagging app-proxies.

    `behind`: those that lack the service's table, and what they have.
    """
    if state.status == "unhealthy":
        return state
    if presence == "away":
        why = "no app-proxy is heard of, so callers reach nobody"
        return replace(
            state, status="unhealthy", reason=Reason.of(ServiceReason.APP_PROXY_AWAY, f"{why}; {state.reason.text}")
        )
    if presence == "bus-away":
        why = "the manager is cut off from the message bus, so it hears of no change and cannot tell whether callers get through"
        return replace(
            state, status="degraded", reason=Reason.of(ServiceReason.BUS_AWAY, f"{why}; {state.reason.text}")
        )
    if not behind:
        return state
    proxies = ", ".join(
        f"{proxy_id} (has {f'generation {has}' if has else 'none'})" for proxy_id, has in sorted(behind.items())[:5]
    )
    text = f"the newest route table has not been applied at {proxies}; {state.reason.text}"
    return replace(state, status="degraded", reason=Reason.of(ServiceReason.APP_PROXY_BEHIND, text))


def behind(
    has: Mapping[ProxyId, int], published: int | None, published_at: datetime | None, now: datetime
) -> dict[ProxyId, int]:
    """Return the app-proxies that lack the generation published a while ago, with the one they have (0: none)."""
    if published is None or published_at is None or now - published_at < BEHIND_AFTER:
        return {}
    return {proxy_id: generation for proxy_id, generation in has.items() if generation < published}


def _status(service: Service, serving: int) -> ServiceStatus:
    if serving == 0:
        return "unhealthy"
    return "healthy" if serving >= service.wanted or service.goal != "running" else "degraded"


def _phase(service: Service, replicas: Sequence[LiveReplica], serving: Sequence[LiveReplica]) -> ServicePhase:
    if service.goal == "deleting":
        return "stopping"
    if service.goal == "stopped":
        return "stopping" if replicas else "stopped"
    current = [replica for replica in serving if replica.revision_id == service.revision_id]
    if len(current) >= service.wanted:
        return "deployed"
    return "failed" if service.failed_starts >= MAX_FAILED_STARTS else "deploying"


def _reason(
    service: Service,
    replicas: Sequence[LiveReplica],
    serving: Sequence[LiveReplica],
    phase: ServicePhase,
    now: datetime,
    last_error: str,
    rollout: _Rollout | None,
) -> Reason:
    if phase in {"stopping", "stopped"}:
        return _while_stopping(service, len(replicas), phase)
    count = f"{len(serving)} of {service.wanted} replicas healthy"
    if phase == "failed":
        why = f"{service.failed_starts} starts in a row failed, so no more are tried until you retry"
        if rollout is None:
            return Reason.of(ServiceReason.START_FAILED, f"{count}; {why}{_and(last_error)}")
        who = f"the rollout of revision {rollout.to} failed, revision {rollout.served} is the one that serves"
        return Reason.of(ServiceReason.ROLLOUT_FAILED, f"{count}; {who}; {why}{_and(last_error)}")
    ended = _ended_lately(service, now)
    if phase == "deployed":
        if service.wanted == 0:
            return Reason.of(ServiceReason.SCALED_TO_ZERO, "0 replicas are wanted")
        return Reason.of(ServiceReason.RESTARTED_LATELY if ended else ServiceReason.ALL_HEALTHY, f"{count}{ended}")
    return _while_deploying(service, replicas, serving, count, now, last_error, ended)


@dataclass(frozen=True)
class _Rollout:
    """Rollout from the revision `served` to the revision `to`."""

    to: int
    served: int | None


def _ended_lately(service: Service, now: datetime) -> str:
    """Return the text about recent ends in operation; empty when the last one is long ago."""
    if not service.ends or service.last_end_at is None or now - service.last_end_at >= RAN_WELL:
        return ""
    ago = max(0, round((now - service.last_end_at).total_seconds()))
    times = (
        "a replica ended in operation"
        if service.ends == 1
        else f"replicas ended in operation {service.ends} times in a row, the last"
    )
    return f"; {times} {ago} s ago"


def _while_stopping(service: Service, live: int, phase: ServicePhase) -> Reason:
    if phase == "stopped":
        return Reason.of(ServiceReason.STOPPED, "stopped by a user; its configuration is kept")
    still = "1 replica is still being stopped" if live == 1 else f"{live} replicas are still being stopped"
    if service.goal == "deleting":
        return Reason.of(ServiceReason.DELETING, f"{still}; then the service is gone")
    return Reason.of(ServiceReason.STOPPING, still)


def _while_deploying(
    service: Service,
    replicas: Sequence[LiveReplica],
    serving: Sequence[LiveReplica],
    count: str,
    now: datetime,
    last_error: str,
    ended: str,
) -> Reason:
    worst = _worst(service, replicas)
    if worst is not None:
        text = f"{count}; {worst.reason_text}{_own_place(service, worst, serving)}{ended}{_failed_before(service, last_error)}"
        return Reason.read(worst.reason_code, text)
    if service.failed_starts and service.next_start_at is not None and service.next_start_at > now:
        wait = max(1, round((service.next_start_at - now).total_seconds()))
        text = f"{count}; start {service.failed_starts} of {MAX_FAILED_STARTS} failed, the next is in {wait} s"
        return Reason.of(ServiceReason.START_FAILED_RETRYING, f"{text}{_and(last_error)}")
    if ended and service.next_restart_at is not None and service.next_restart_at > now:
        wait = max(1, round((service.next_restart_at - now).total_seconds()))
        return Reason.of(ServiceReason.ENDED_RESTARTING, f"{count}{ended}; the next start is in {wait} s")
    text = f"{count}; replicas are about to be started{_failed_before(service, last_error)}"
    return Reason.of(ServiceReason.STARTING, text)


def _failed_before(service: Service, last_error: str) -> str:
    """Return the text about failed starts while another one is under way; empty when none failed."""
    if not service.failed_starts:
        return ""
    return f"; start {service.failed_starts} of {MAX_FAILED_STARTS} failed{_and(last_error)}"


def _own_place(service: Service, worst: LiveReplica, serving: Sequence[LiveReplica]) -> str:
    """Return the text for a rollout that waits for a machine while the service's own old replicas occupy one."""
    if worst.status != "pending" or worst.revision_id != service.revision_id:
        return ""
    if not any(replica.revision_id != service.revision_id for replica in serving):
        return ""
    if service.rollout.get("strategy") == "blue-green":
        return "; this service's own replicas may hold what it needs, and a blue-green rollout gives none up for it"
    if is_none(service.rollout.get("max_unavailable", 1)):
        return "; this service's own replicas may hold what it needs, and rollout.max_unavailable is 0: none is given up for it"
    return "; if one of this service's own replicas holds what it needs, that one is given up"


def _worst(service: Service, replicas: Sequence[LiveReplica]) -> LiveReplica | None:
    """Return the replica that explains best why the service is not as requested yet."""
    missing = [r for r in replicas if not serves(r) and r.status in states.STAGES]
    newest = [r for r in missing if r.revision_id == service.revision_id] or missing
    return min(newest, key=lambda r: (states.STAGES.index(r.status), r.health != "unhealthy"), default=None)


def _and(error: str) -> str:
    return f": {error}" if error else ""
