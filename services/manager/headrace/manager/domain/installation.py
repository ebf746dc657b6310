"""Status of an installation: what is said of each part by what was heard of it. Pure.

A part is `up`, `starting` (it began a moment ago, and is not ready yet), `degraded` (it says itself that something is wrong),
`away` (silent, although it did not say that it stops), `stopped` (it said so), or `unknown` (its reports come over a bus that no
manager is connected to).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, get_args

from headrace.common.contracts.messages.reports import Disk
from headrace.common.contracts.readiness import AppProxyWarning, ManagerCheck
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.installation import InstallationReason
from headrace.common.contracts.vocabulary import InstanceKind, PartKind, PartStatus
from headrace.manager.domain.records.instances import (
    BusState,
    DatabaseState,
    Facts,
    Instance,
    Machines,
    MachineState,
)

AWAY_AFTER: Final = timedelta(seconds=20)
"""A part that reports every few seconds is away when it was silent for so long."""
STARTING_FOR: Final = timedelta(seconds=20)
"""A part that is not ready is starting for so long, and degraded after that."""
_MAX_NAMED: Final = 5
_KINDS: Final[tuple[InstanceKind, ...]] = get_args(InstanceKind)
"""In the order in which they are listed."""
_NOTED: Final = frozenset({AppProxyWarning.OPEN_FILES})
"""Warnings of how a part is configured, which are shown and are no trouble."""
_SILENT: Final[Mapping[InstanceKind, str]] = {
    "manager": "it does not run, or does not reach PostgreSQL",
    "app-proxy": "it does not run, or does not reach NATS; where it runs it serves from its last tables",
    "autoscaler": "it does not run, or does not reach NATS",
}
_TAKEN_OVER: Final[Mapping[InstanceKind, str]] = {
    "manager": "; the others do its work",
    "autoscaler": "; another one takes over its services' rules within seconds",
}
"""What is said of a silent part beside others of its kind that are heard."""


@dataclass(frozen=True, slots=True)
class PartState:
    """One part of the installation, and what is said of it."""

    kind: PartKind
    name: str
    status: PartStatus
    version: str = ""
    host: str = ""
    address: str = ""
    since: datetime | None = None
    reasons: tuple[Reason, ...] = ()
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """Status of the installation: its parts, and what is said of the whole."""

    degraded: bool
    reasons: tuple[Reason, ...]
    parts: tuple[PartState, ...]


def assess(
    database: DatabaseState, bus: BusState, instances: Sequence[Instance], machines: Machines, latency_s: float
) -> Assessment:
    """Return the status of the installation at the database's time. `latency_s`: of a query to it."""
    now = database.now
    unheard = _unheard(instances, bus, now)
    listed = sorted(instances, key=lambda one: (_KINDS.index(one.kind), one.name))
    heard = frozenset(one.kind for one in instances if _fresh(one, now))
    processes = [_process(one, now, unheard if one.kind != "manager" else None, heard) for one in listed]
    agents = [_machine(one, now, unheard) for one in machines.shown]
    stores = [_postgres(database, latency_s), _nats(bus, instances, now), _redis(instances, now, unheard)]
    missing = tuple(_missing(processes)) if unheard is None else ()
    parts = (*processes, *stores, *agents)
    trouble = any(_is_trouble(part) for part in parts)
    trouble = trouble or any(one.code == InstallationReason.NO_APP_PROXY for one in missing)
    return Assessment(trouble, (*missing, *_skew(parts)), parts)


def _is_trouble(part: PartState) -> bool:
    if part.status == "unknown":
        return any(reason.code != InstallationReason.NOT_HEARD_YET for reason in part.reasons)
    return part.status in {"degraded", "away"}


def _fresh(one: Instance, now: datetime) -> bool:
    return not one.stopped and now - one.last_seen_at <= AWAY_AFTER


def _unheard(instances: Iterable[Instance], bus: BusState, now: datetime) -> Reason | None:
    """Return why silence over the bus says nothing: no manager is connected to it, or none for long enough; None: it does."""
    managers = [one for one in instances if one.kind == "manager" and _fresh(one, now)]
    if bus.problem is not None and all(ManagerCheck.BUS in one.checks for one in managers):
        return Reason.of(InstallationReason.CUT_OFF, "no manager is connected to NATS, over which it reports")
    since = min((one.started_at for one in managers if one.started_at is not None), default=now)
    if now - since > AWAY_AFTER:
        return None
    text = f"not heard of since managers started {_seconds(now - since)} ago"
    return Reason.of(InstallationReason.NOT_HEARD_YET, text)


def _process(one: Instance, now: datetime, unheard: Reason | None, heard: Set[InstanceKind]) -> PartState:
    noted = {name: why for name, why in one.checks.items() if name in _NOTED}
    one = replace(one, checks={name: why for name, why in one.checks.items() if name not in _NOTED})
    status, since, reasons = _state(one, now, unheard, heard)
    facts = {name: value for name, value in one.facts.items() if not name.startswith("redis_")} | noted
    return PartState(one.kind, one.name, status, one.version, one.host, one.address, since, reasons, facts)


def _state(
    one: Instance, now: datetime, unheard: Reason | None, heard: Set[InstanceKind]
) -> tuple[PartStatus, datetime | None, tuple[Reason, ...]]:
    if one.stopped:
        return "stopped", one.last_seen_at, (Reason.of(InstallationReason.STOPPED_IN_ORDER, "it was stopped in order"),)
    if not _fresh(one, now):
        if unheard is not None:
            return "unknown", one.last_seen_at, (unheard,)
        text = f"silent for {_seconds(now - one.last_seen_at)}: {_SILENT[one.kind]}"
        text += _TAKEN_OVER.get(one.kind, "") if one.kind in heard else ""
        return "away", one.last_seen_at, (Reason.of(InstallationReason.SILENT, text),)
    if one.checks:
        code = InstallationReason.WARNING if one.ready else InstallationReason.NOT_READY
        if not one.ready and one.started_at is not None and now - one.started_at <= STARTING_FOR:
            return "starting", one.started_at, (Reason.of(code, _listed(one.checks)),)
        return "degraded", one.checks_since, (Reason.of(code, _listed(one.checks)),)
    return "up", one.started_at, ()


def _machine(one: MachineState, now: datetime, unheard: Reason | None) -> PartState:
    reasons = list(_troubles(one))
    status: PartStatus = "degraded" if reasons else "up"
    since = one.instance.started_at if one.instance is not None and not reasons else None
    if one.lost_at is not None:
        text = f"silent for {_seconds(now - one.last_seen_at)}: its replicas are being replaced elsewhere"
        reasons.insert(0, Reason.of(InstallationReason.MACHINE_LOST, text))
        status, since = "away", one.last_seen_at
    elif unheard is not None and now - one.last_seen_at > AWAY_AFTER:
        reasons.insert(0, unheard)
        status, since = "unknown", one.last_seen_at
    facts = {"cordoned": "yes"} if one.cordoned else {}
    return PartState("agent", one.id, status, one.version, one.host, one.address, since, tuple(reasons), facts)


def _troubles(one: MachineState) -> Iterable[Reason]:
    if one.instance is not None and one.instance.checks:
        yield Reason.of(
            InstallationReason.WARNING if one.instance.ready else InstallationReason.NOT_READY,
            _listed(one.instance.checks),
        )
    for name, disk in (("its disk", one.disk), ("its container engine's disk", one.engine_disk)):
        if disk is not None and not disk.has_room:
            yield Reason.of(InstallationReason.MACHINE_DISK_LOW, f"{name} has {_room(disk)}: it starts no replicas")
    if one.address_problem is not None:
        yield Reason.of(InstallationReason.MACHINE_ADDRESS, f"{one.address_problem}: its replicas get no requests")
    if one.plan_problem is not None:
        yield Reason.of(InstallationReason.MACHINE_PLAN, f"it keeps the plan before the newest: {one.plan_problem}")


def _postgres(database: DatabaseState, latency_s: float) -> PartState:
    facts: dict[str, str | int | float] = {
        "role": "standby" if database.recovering else "primary",
        "standbys": database.standbys,
        "size_bytes": database.size_bytes,
        "latency_s": round(latency_s, 4),
        "connections": database.connections,
        "max_connections": database.max_connections,
    }
    reasons: tuple[Reason, ...] = ()
    if database.recovering:
        reasons = (
            Reason.of(InstallationReason.NOT_WRITABLE, "it is a standby: no change is taken; requests are served"),
        )
    status: PartStatus = "degraded" if reasons else "up"
    since = None if reasons else database.started_at
    return PartState("postgresql", "postgresql", status, database.version, "", database.address, since, reasons, facts)


def _nats(bus: BusState, instances: Iterable[Instance], now: datetime) -> PartState:
    """Return NATS' state: as the manager that answers finds it, and as the others say of themselves."""
    reasons = (
        [] if bus.problem is None else [Reason.of(InstallationReason.UNREACHABLE, f"{bus.problem}; {_WITHOUT_BUS}")]
    )
    others = {
        one.name: one.checks[ManagerCheck.BUS]
        for one in instances
        if one.kind == "manager" and _fresh(one, now) and ManagerCheck.BUS in one.checks
    }
    if others and bus.problem is None:
        named = _listed(dict(sorted(others.items())[:_MAX_NAMED]))
        reasons.append(Reason.of(InstallationReason.UNREACHABLE, f"some managers do not reach it: {named}"))
    for stream in bus.streams:
        if stream.behind:
            text = (
                f"stream {stream.name} has not {stream.copies} current copies: {', '.join(stream.behind[:_MAX_NAMED])}"
            )
            reasons.append(Reason.of(InstallationReason.COPIES_BEHIND, text))
        elif stream.copies < stream.wanted:
            text = f"stream {stream.name} is kept by {stream.copies} servers; wanted: {stream.wanted} (nats_replicas)"
            reasons.append(Reason.of(InstallationReason.COPIES_BEHIND, text))
    facts: dict[str, str | int | float] = {"servers": ", ".join(bus.servers)} if bus.servers else {}
    if bus.streams:
        facts["copies"] = min(stream.copies for stream in bus.streams)
    status: PartStatus = "up" if not reasons else "degraded" if bus.version else "away"
    return PartState("nats", "nats", status, bus.version, "", bus.address, None, tuple(reasons), facts)


_WITHOUT_BUS: Final = "requests are served from the last tables; changes reach nobody, and nothing is scaled by rules"


def _redis(instances: Iterable[Instance], now: datetime, unheard: Reason | None) -> PartState:
    """Return Redis' state, as autoscalers report it: no manager uses it."""
    told = [one for one in instances if one.kind == "autoscaler" and _fresh(one, now)]
    if not told:
        reason = Reason.of(InstallationReason.NOT_REPORTED, "no autoscaler reports, and only they say how it does")
        return PartState("redis", "redis", "unknown", reasons=(unheard or reason,))
    failing = {one.name: one.checks[_REDIS] for one in told if _REDIS in one.checks}
    seen = next((one for one in told if _REDIS not in one.checks and "redis_version" in one.facts), None)
    facts = {
        name.removeprefix("redis_"): value
        for name, value in (seen.facts.items() if seen is not None else ())
        if name.startswith("redis_") and name not in {"redis_version", "redis_address"}
    }
    reasons: tuple[Reason, ...] = ()
    since = None
    if failing:
        named = _listed(dict(sorted(failing.items())[:_MAX_NAMED]))
        text = f"it does not answer {named}; rules are not evaluated there, and replicas stay as many as they are"
        reasons = (Reason.of(InstallationReason.UNREACHABLE, text),)
        since = min(one.checks_since for one in told if _REDIS in one.checks)
    status: PartStatus = "up" if not failing else "degraded" if len(failing) < len(told) else "away"
    version, address = (
        (str(seen.facts.get(f"redis_{name}", "")) for name in ("version", "address")) if seen else ("", "")
    )
    return PartState("redis", "redis", status, version, "", address, since, reasons, facts)


_REDIS: Final = "redis"


def _missing(processes: Sequence[PartState]) -> Iterable[Reason]:
    working = {part.kind for part in processes if part.status in {"up", "starting", "degraded", "unknown"}}
    found = []
    if "app-proxy" not in working:
        found.append(Reason.of(InstallationReason.NO_APP_PROXY, "no app-proxy reports: callers may reach nothing"))
    if "autoscaler" not in working:
        text = (
            "no autoscaler reports: rules are not evaluated, unless one runs that may not report yet, since its version or its identity on "
            "the bus is of before: upgrade it, headrace init DIR, and restart it"
        )
        found.append(Reason.of(InstallationReason.NO_AUTOSCALER, text))
    return found


def _skew(parts: Iterable[PartState]) -> Iterable[Reason]:
    """Return that parts of Headrace have different versions, and which."""
    by_version: dict[str, list[PartState]] = {}
    for part in parts:
        if part.version and part.kind not in {"postgresql", "nats", "redis"} and part.status not in {"away", "stopped"}:
            by_version.setdefault(part.version, []).append(part)
    if len(by_version) < 2:
        return ()
    named = "; ".join(f"{version}: {_named(of)}" for version, of in sorted(by_version.items()))
    return (Reason.of(InstallationReason.VERSIONS_DIFFER, f"parts have different versions: {named}"),)


def _named(parts: Sequence[PartState]) -> str:
    names = ", ".join(f"{part.kind} {part.name}" for part in parts[:_MAX_NAMED])
    return f"{names} and {len(parts) - _MAX_NAMED} more" if len(parts) > _MAX_NAMED else names


def _listed(checks: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why.rstrip('.')}" for name, why in checks.items())


def _room(disk: Disk) -> str:
    return f"{disk.free_bytes} of {disk.total_bytes} bytes free, less than {disk.reserve_bytes}"


def _seconds(time: timedelta) -> str:
    return f"{max(0.0, time.total_seconds()):.0f} s"
