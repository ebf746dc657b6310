"""Load balancer of one service: the policy of its route table, with state that survives new tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headrace.appproxy.dataplane.balancing.affinity import HashRing, hash_key
from headrace.appproxy.dataplane.balancing.policies import (
    SmoothWeightedRoundRobin,
    Weights,
    least_in_flight,
    slow_start_share,
)
from headrace.appproxy.dataplane.headers.rewrite import cookie, field
from headrace.appproxy.dataplane.http1.heads import RequestHead
from headrace.appproxy.dataplane.upstream.replica import Replica
from headrace.common.contracts.messages.routes import Balance

_NOTHING: frozenset[str] = frozenset()
_READS = {"prefix": frozenset({"prompt"}), "body:user": frozenset({"user"})}
_MAX_KEY = 1024


class LoadBalancer:
    """Load balancer of one service: picks among the eligible replicas by the table's policy."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._balance = Balance()
        self._round_robin = SmoothWeightedRoundRobin()
        self._ring: HashRing[Replica] | None = None
        self._body_members = _NOTHING
        self._since: dict[str, float] = {}
        """Time at which each replica became routable, by this worker's clock; long ago for those of the first table."""
        self._first = True
        self._routable: Sequence[Replica] = ()
        self.weights = Weights(())
        """Effective weights of the routable replicas."""

    def update(self, balance: Balance, able: Sequence[Replica], now_s: float) -> None:
        """Apply a new table's policy and its routable replicas; state of replicas that stay is kept."""
        keys = {replica.key: replica for replica in able}
        began = float("-inf") if self._first else now_s
        self._first = False
        self._since = {key: self._since.get(key, began) for key in keys}
        self._balance = balance
        self._body_members = _READS.get(
            balance.policy if balance.policy != "session" else balance.session_key, _NOTHING
        )
        self._round_robin.keep_only(keys)
        self._ring = HashRing(able) if balance.policy in ("session", "prefix") and able else None
        self._routable = able
        self.advance_slow_start(able, now_s)
        self.weights = Weights(able)

    def restart_slow_start(self, replica: Replica, now_s: float) -> None:
        """Restart the slow start of a replica that returned after an ejection."""
        self._since[replica.key] = now_s
        replica.share = slow_start_share(0.0, self._balance.slow_start_s)
        self.weights = Weights(self._routable)

    def advance_slow_start(self, able: Sequence[Replica], now_s: float) -> None:
        """Update the effective weights of replicas in slow start."""
        changed = False
        for replica in able:
            since = self._since.get(replica.key, now_s)
            share = slow_start_share(now_s - since, self._balance.slow_start_s)
            changed |= share != replica.share
            replica.share = share
        if changed:
            self.weights = Weights(able)

    @property
    def has_affinity(self) -> bool:
        """True if the policy sends related requests to one replica."""
        return self._ring is not None

    @property
    def body_members(self) -> frozenset[str]:
        """Members of the body's head that the policy needs."""
        return self._body_members

    @property
    def prompt_bytes(self) -> int:
        """Length of the prompt prefix that the policy hashes."""
        return self._balance.prefix_bytes if self._balance.policy == "prefix" else 0

    def affinity_key(self, head: RequestHead, found: Any) -> int | None:
        """Return the affinity key of a request, or None. `found`: the parsed head of the body, None if it was not read."""
        if self._ring is None:
            return None
        policy = self._balance.policy
        value: bytes = b""
        if policy == "prefix" and found is not None:
            value = getattr(found, "prompt", None) or b""
        elif policy == "session":
            kind, _, name = self._balance.session_key.partition(":")
            if kind == "header":
                value = field(head, name.lower().encode())
            elif kind == "cookie":
                value = cookie(head, name.encode())
            elif found is not None:
                value = (getattr(found, "user", None) or "").encode("utf-8", "replace")
        return hash_key(value[: max(_MAX_KEY, self.prompt_bytes)]) if value else None

    @property
    def is_least_request(self) -> bool:
        """True for the policy `least_in_flight`: the less loaded of two random replicas, independent of the request."""
        return self._ring is None and self._balance.policy != "round-robin"

    def pick(self, candidates: Sequence[Replica], key: int | None) -> Replica:
        """Return one of `candidates` (at least one)."""
        if key is not None and self._ring is not None:
            return self._ring.pick(key, candidates, self._balance.load_factor)
        if self._balance.policy == "round-robin":
            return self._round_robin.pick(candidates)
        return least_in_flight(candidates, self._chance)
