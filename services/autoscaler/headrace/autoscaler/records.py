"""Cooldowns and the pending request of each service, in Redis, so that they outlive an autoscaler.

    headrace:{<service id>}:state      hash   `fired:<rule id>` → time of the last firing, Unix milliseconds (the cooldown is
                                              counted from it, so that changing a rule's cooldown has effect at once);
                                              `pending` → JSON of the request that was sent and not answered.

It expires when no cooldown can need it any more. What was decided is kept by the manager (scale decisions of a service).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from redis.asyncio import Redis

from headrace.autoscaler.domain.firing import PendingRequest
from headrace.autoscaler.windows import chunks, key
from headrace.common.contracts.ids import RuleId, ServiceId

log = structlog.get_logger()
_EXPIRE: Final = timedelta(days=8)
"""More than the longest cooldown (seven days)."""


@dataclass(slots=True)
class ServiceState:
    """Recorded state of one service: time of each rule's last firing, and the pending scale request."""

    fired: dict[RuleId, datetime] = field(default_factory=dict)
    pending: PendingRequest | None = None


class ScalingRecords:
    """Write-through cache of the states of the services that this process evaluates.

    Methods raise RedisError when Redis fails.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._states: dict[ServiceId, ServiceState] = {}

    async def load(self, services: Collection[ServiceId]) -> None:
        """Read the states of `services` from Redis.

        Firings that only this process remembers are kept (Redis may lose its last second).
        """
        for some in chunks(services):
            pipe = self._redis.pipeline(transaction=False)
            for service in some:
                pipe.hgetall(key(service, "state"))
            for service, fields in zip(some, await pipe.execute(), strict=True):
                state = _state(fields)
                before = self._states.get(service)
                for rule, at in (before.fired if before else {}).items():
                    state.fired[rule] = max(at, state.fired.get(rule, at))
                self._states[service] = state

    def of(self, service: ServiceId) -> ServiceState:
        """Return the state as last read or written."""
        return self._states.setdefault(service, ServiceState())

    async def begin(self, service: ServiceId, pending: PendingRequest) -> None:
        """Record that a scale request is about to be sent."""
        self.of(service).pending = pending
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(key(service, "state"), "pending", _encoded(pending))
        pipe.pexpire(key(service, "state"), _EXPIRE)
        await pipe.execute()

    async def done(self, service: ServiceId, pending: PendingRequest) -> None:
        """Record that the request was applied: the rule fired at `pending.at`, and its cooldown runs from then."""
        state = self.of(service)
        state.fired[pending.rule_id] = pending.at
        state.pending = None
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(key(service, "state"), f"fired:{pending.rule_id}", _ms(pending.at))
        pipe.hdel(key(service, "state"), "pending")
        pipe.pexpire(key(service, "state"), _EXPIRE)
        await pipe.execute()

    async def fired(self, service: ServiceId, rule: RuleId, at: datetime) -> None:
        """Record a firing that was not known here."""
        self.of(service).fired[rule] = at
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(key(service, "state"), f"fired:{rule}", _ms(at))
        pipe.pexpire(key(service, "state"), _EXPIRE)
        await pipe.execute()

    async def dropped(self, service: ServiceId) -> None:
        """Record that the request was not applied: the rule did not fire."""
        self.of(service).pending = None
        await self._redis.hdel(key(service, "state"), "pending")

    async def forget(self, services: Collection[ServiceId]) -> None:
        """Delete samples and state of services that have no rules any more. Idempotent."""
        for some in chunks(services):
            await self._redis.delete(*(key(s, what) for s in some for what in ("samples", "state")))
            for service in some:
                self._states.pop(service, None)


def _state(fields: Mapping[bytes, bytes]) -> ServiceState:
    state = ServiceState()
    for name, value in fields.items():
        what, _, rule = name.decode().partition(":")
        try:
            if what == "fired":
                state.fired[RuleId(UUID(rule))] = _at(int(value))
            elif what == "pending":
                state.pending = _decoded(json.loads(value))
        except (ValueError, KeyError, TypeError):  # another version's: it must not stop the service
            log.warning("record_unreadable", field=name.decode(errors="replace"))
    return state


def _encoded(pending: PendingRequest) -> str:
    return json.dumps(
        {
            "rule_id": str(pending.rule_id),
            "at_ms": _ms(pending.at),
            "from_wanted": pending.from_wanted,
            "wanted": pending.wanted,
            "observed": pending.observed,
            "text": pending.text,
        }
    )


def _decoded(found: Mapping[str, Any]) -> PendingRequest:
    return PendingRequest(
        rule_id=RuleId(UUID(found["rule_id"])),
        at=_at(found["at_ms"]),
        from_wanted=int(found["from_wanted"]),
        wanted=int(found["wanted"]),
        observed=float(found["observed"]),
        text=str(found["text"]),
    )


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
