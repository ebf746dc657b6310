"""Outlier detection: consecutive failures eject a replica, with exponential back-off.

Real requests notice a failure before the next health check does.

The table says who serves; this only ejects. What callers do wrong never counts (4xx), and neither does a caller who leaves.
What takes a replica out, and how often in a row:
- a failed or timed-out connect, or a machine that acknowledges nothing: at once, since nobody can be served there;
- a fresh connection that ends without an answer: twice (a dead container's port may still be answered by the engine in front of
  it, while a single one may be the doing of that one request);
- the engine's own 502 or 503: three times; no first byte in time: twice.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

Fault = Literal["connect", "dropped", "unavailable", "slow"]
EJECT_AFTER: dict[Fault, int] = {"connect": 1, "dropped": 2, "unavailable": 3, "slow": 2}
"""Consecutive failures after which a replica is ejected, by kind."""
UNAVAILABLE = frozenset({502, 503})


@dataclass(slots=True)
class _State:
    consecutive: int = 0
    fault: Fault = "connect"
    until_s: float = 0.0
    """End of the ejection; 0 if not ejected."""
    ejected_for_s: float = 0.0
    """Duration of the last ejection."""
    returned_s: float = 0.0
    """Time of the last return to service."""
    probing: bool = False
    """A probe is running."""
    trial: bool = False
    """On trial after the ejection: one request at a time decides."""


class OutlierDetector:
    """Outlier detector: ejects failing replicas of one service, and returns them. `now_s` is a monotonic clock in
    seconds.

    The ejection time doubles while a replica fails again soon after its return. A replica that refused connections
    returns when a probe connects (`due_probes`, `record_probe`), any other one on trial: one request at a time, whose
    outcome decides.
    """

    def __init__(self, *, first_s: float = 1.0, most_s: float = 30.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self.suspects: dict[str, _State] = {}
        """Replicas with failures held against them; almost always empty, and checked on every request."""

    def record_failure(self, key: str, fault: Fault, now_s: float) -> bool:
        """Record a failure. Return True if it ejects the replica now (False if it is ejected already)."""
        state = self.suspects.setdefault(key, _State())
        if state.until_s:
            if fault == "connect":  # earlier failures do not matter: it is unreachable
                state.fault = fault
            return False
        state.consecutive = state.consecutive + 1 if state.fault == fault else 1
        state.fault = fault
        if state.consecutive < EJECT_AFTER[fault] and not state.trial:
            return False
        again = state.trial or (state.ejected_for_s > 0 and now_s < state.returned_s + state.ejected_for_s)
        state.ejected_for_s = min(self._most_s, state.ejected_for_s * 2) if again else self._first_s
        state.until_s = now_s + state.ejected_for_s
        state.consecutive, state.trial = 0, False
        return True

    def record_status(self, key: str, status: int, now_s: float) -> bool:
        """Record a response status. Return True if it ejects the replica now."""
        if status in UNAVAILABLE:
            return self.record_failure(key, "unavailable", now_s)
        state = self.suspects.get(key)
        if state is not None:
            self._recovered(key, state, now_s)
        return False

    def _recovered(self, key: str, state: _State, now_s: float) -> None:
        if state.until_s or state.trial:
            state.returned_s = now_s
        state.until_s, state.consecutive = 0.0, 0
        state.trial = False
        if now_s >= state.returned_s + state.ejected_for_s:  # it has been healthy for as long as it was ejected
            del self.suspects[key]

    def due_probes(self, now_s: float, *, awaited: bool = False) -> list[str]:
        """Return the replicas to probe by connecting now, each once; replicas whose trial begins are returned to
        service here.

        `awaited`: requests are queued because no replica accepts connections, so unreachable ones are probed now,
        before their time.
        """
        found = []
        for key, state in self.suspects.items():
            early = awaited and state.fault == "connect"
            if not state.until_s or (now_s < state.until_s and not early) or state.probing:
                continue
            if state.fault in ("connect", "dropped"):
                state.probing = True
                found.append(key)
            else:
                state.until_s, state.trial, state.returned_s = 0.0, True, now_s
        return found

    def record_probe(self, key: str, now_s: float, *, well: bool) -> None:
        """Record the result of a probe that `due_probes` asked for."""
        state = self.suspects.get(key)
        if state is None:
            return
        state.probing = False
        if well:
            state.until_s, state.trial, state.returned_s = 0.0, state.fault == "dropped", now_s
        else:
            state.ejected_for_s = min(self._most_s, state.ejected_for_s * 2)
            state.until_s = now_s + state.ejected_for_s

    def ejected(self) -> frozenset[str]:
        """Return the ejected replicas."""
        return frozenset(key for key, state in self.suspects.items() if state.until_s)

    def unreachable(self) -> frozenset[str]:
        """Return the replicas ejected because they refused connections."""
        return frozenset(key for key, state in self.suspects.items() if state.until_s and state.fault == "connect")

    def unresponsive(self) -> frozenset[str]:
        """Return the replicas ejected because they did not respond: requests open there may get no response either."""
        return frozenset(key for key, state in self.suspects.items() if state.until_s and state.fault != "unavailable")

    def on_trial(self) -> frozenset[str]:
        """Return the replicas that get one request at a time."""
        return frozenset(key for key, state in self.suspects.items() if state.trial)

    def keep_only(self, live: Container[str]) -> None:
        """Forget replicas that are not in `live`."""
        for key in [key for key in self.suspects if key not in live]:
            del self.suspects[key]


class _Keyed(Protocol):
    key: str


R = TypeVar("R", bound=_Keyed)


def eligible(able: Sequence[R], out: Container[str], unreachable: Container[str] = frozenset()) -> tuple[list[R], bool]:
    """Return the replicas of `able` that are not `out`, and True in panic: with more than half of them out, all but
    `unreachable` ones count.

    When most replicas look unhealthy, the detector is more likely wrong, and the rest could not carry the load. Source:
    Envoy's panic threshold. So the last replica is never ejected, unless it refuses connections: then none is left.
    """
    left = [candidate for candidate in able if candidate.key not in out]
    if 2 * len(left) < len(able):
        return [candidate for candidate in able if candidate.key not in unreachable], True
    return left, False
