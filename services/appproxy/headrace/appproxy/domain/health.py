"""Passive health: a replica that fails requests is passed over for a while, before its next health check tells.

The table says who serves; this only passes over. What callers do wrong never counts (4xx), and neither does a caller who leaves.
What takes a replica out, and how often in a row:
- a failed or timed-out connect: at once, since nobody can be served there;
- a fresh connection that ends without an answer: twice (a dead container's port may still be answered by the engine in front of
  it, while a single one may be the doing of that one request);
- the engine's own 502 or 503: three times; no first byte in time: twice.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

Trouble = Literal["connect", "dropped", "unavailable", "slow"]
ALLOWED: dict[Trouble, int] = {"connect": 1, "dropped": 2, "unavailable": 3, "slow": 2}
"""In a row, at which a replica is taken out."""
BUSY = frozenset({502, 503})


@dataclass(slots=True)
class _State:
    row: int = 0
    trouble: Trouble = "connect"
    until_s: float = 0.0
    """Passed over until then; 0 while it is not."""
    for_s: float = 0.0
    """How long it was passed over last."""
    back_s: float = 0.0
    """When it came back last."""
    probing: bool = False
    """A connect to it is being tried."""
    trial: bool = False
    """Its time is over, and one request at a time finds out whether it is well."""


class Passed:
    """Which replicas of one service are passed over. `now_s` is any clock that only goes forward, in seconds.

    The time out doubles while a replica fails again soon after its return. Who could not be connected to comes back by a connect
    that works (`due`, `probed`), the others by a trial: one request at a time, whose outcome decides.
    """

    def __init__(self, *, first_s: float = 1.0, most_s: float = 30.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self.troubled: dict[str, _State] = {}
        """What is held against replicas; empty nearly always, and looked at on every request."""

    def failed(self, key: str, trouble: Trouble, now_s: float) -> bool:
        """Note a failure. Return whether it takes the replica out now (not when it is out already)."""
        state = self.troubled.setdefault(key, _State())
        if state.until_s:
            if trouble == "connect":  # what it did before does not matter now: nothing can be sent to it
                state.trouble = trouble
            return False
        state.row = state.row + 1 if state.trouble == trouble else 1
        state.trouble = trouble
        if state.row < ALLOWED[trouble] and not state.trial:
            return False
        again = state.trial or (state.for_s > 0 and now_s < state.back_s + state.for_s)
        state.for_s = min(self._most_s, state.for_s * 2) if again else self._first_s
        state.until_s = now_s + state.for_s
        state.row, state.trial = 0, False
        return True

    def answered(self, key: str, status: int, now_s: float) -> bool:
        """Note an answer's status. Return whether it takes the replica out now."""
        if status in BUSY:
            return self.failed(key, "unavailable", now_s)
        state = self.troubled.get(key)
        if state is not None:
            self._well(key, state, now_s)
        return False

    def _well(self, key: str, state: _State, now_s: float) -> None:
        if state.until_s or state.trial:
            state.back_s = now_s
        state.until_s, state.row = 0.0, 0
        state.trial = False
        if now_s >= state.back_s + state.for_s:  # it has been well for as long as it was out
            del self.troubled[key]

    def due(self, now_s: float, *, awaited: bool = False) -> list[str]:
        """Return the replicas to try a connect to now, each once; those whose trial begins are let back by the way.

        `awaited`: requests wait for one that can be connected to, so those that cannot are tried now, whatever their time.
        """
        found = []
        for key, state in self.troubled.items():
            early = awaited and state.trouble == "connect"
            if not state.until_s or (now_s < state.until_s and not early) or state.probing:
                continue
            if state.trouble in ("connect", "dropped"):
                state.probing = True
                found.append(key)
            else:
                state.until_s, state.trial, state.back_s = 0.0, True, now_s
        return found

    def probed(self, key: str, now_s: float, *, well: bool) -> None:
        """Note how a connect that `due` asked for went."""
        state = self.troubled.get(key)
        if state is None:
            return
        state.probing = False
        if well:
            state.until_s, state.trial, state.back_s = 0.0, state.trouble == "dropped", now_s
        else:
            state.for_s = min(self._most_s, state.for_s * 2)
            state.until_s = now_s + state.for_s

    def out(self) -> frozenset[str]:
        """Return the replicas that are passed over."""
        return frozenset(key for key, state in self.troubled.items() if state.until_s)

    def unreachable(self) -> frozenset[str]:
        """Return the replicas that are passed over because they could not be connected to."""
        return frozenset(key for key, state in self.troubled.items() if state.until_s and state.trouble == "connect")

    def ailing(self) -> frozenset[str]:
        """Return the replicas that are passed over because no answer came from them: what is open on them may get none either."""
        return frozenset(
            key for key, state in self.troubled.items() if state.until_s and state.trouble != "unavailable"
        )

    def on_trial(self) -> frozenset[str]:
        """Return the replicas that get one request at a time."""
        return frozenset(key for key, state in self.troubled.items() if state.trial)

    def keep_only(self, live: Container[str]) -> None:
        """Forget replicas that are not in `live`."""
        for key in [key for key in self.troubled if key not in live]:
            del self.troubled[key]


class _Keyed(Protocol):
    key: str


R = TypeVar("R", bound=_Keyed)


def passable(able: Sequence[R], out: Container[str], unreachable: Container[str] = frozenset()) -> tuple[list[R], bool]:
    """Return those of `able` that are not `out`, and whether there is panic: with more than half of them out, all are taken that
    are not `unreachable`.

    When most seem ill, it is more likely the judgement that is, and the rest could not carry the load. Source: Envoy's panic
    threshold. The last replica is thus never taken out, unless it cannot be connected to: then nothing is left.
    """
    left = [candidate for candidate in able if candidate.key not in out]
    if 2 * len(left) < len(able):
        return [candidate for candidate in able if candidate.key not in unreachable], True
    return left, False
