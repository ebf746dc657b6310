"""Account of a run: what every caller saw, how often each request ran, and which of that breaks a rule. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from headrace.common.contracts.reasons.proxy import ModelReason, ProxyReason, Retry

Kind = Literal["get", "post", "fleet", "stream", "socket"]
SAFE: frozenset[Kind] = frozenset({"get", "socket"})
"""What the app-proxy may send again after it may have run: GET, and so the handshake of a WebSocket, before it was answered."""
MAX_RUNS = 3
"""A safe request is sent again at most twice (docs/data-plane.md)."""
SLACK_S = 1.0
"""How long before a fault's moment the last effect of a request may lie: between a signal and its note."""

NEVER_RAN = frozenset(
    {
        *(reason.value for reason in ProxyReason if reason.meaning and reason.retry is Retry.LATER),
        ProxyReason.UNKNOWN_SERVICE.value,
        ModelReason.UNKNOWN_MODEL.shown,
    }
)
"""Reasons that tell a caller that its request did not run: a run holds the catalogue to it."""


@dataclass(frozen=True)
class RequestRecord:
    """One request as its caller saw it; seconds are monotonic.

    `outcome`: `200` (whole, with the right content), `<status>:<reason>` (refused), `cut` or `cut:<code>` (an answer
    that began and visibly did not end), `lost` (a fresh connection ended without an answer), `lost-kept` (a reused one
    did), `no-connection`, `timeout`, `wrong:<what>` (content of another request, or an incomplete answer that looks
    whole).
    """

    id: str
    kind: Kind
    service: str
    sent_s: float
    ended_s: float
    outcome: str


@dataclass(frozen=True)
class Execution:
    """One execution of a request at a replica."""

    session: str
    began_s: float
    ended: bool


@dataclass
class FaultRecord:
    """One fault: from its begin until everything had recovered, and what it may cost whom."""

    number: int
    kind: str
    target: str
    began_s: float
    costs: frozenset[str]
    """Outcomes that it may cause, as patterns: `cut` means `cut:…` too."""
    sessions: frozenset[str] | None = None
    """Only requests that ran on no other replicas than these; None: any."""
    ended_s: float | None = None
    """End of the fault itself."""
    recovered_s: float | None = None

    def excuses(self, one: RequestRecord, runs: Sequence[Execution]) -> bool:
        """Return whether this fault may explain the request's outcome."""
        if one.ended_s < self.began_s - SLACK_S or (self.recovered_s is not None and one.sent_s > self.recovered_s):
            return False
        if self.sessions is not None and not {run.session for run in runs} <= self.sessions:
            return False
        return one.outcome in self.costs or one.outcome.partition(":")[0] in self.costs


@dataclass(frozen=True)
class Violation:
    """A request that broke a rule, and which."""

    rule: str
    asked: RequestRecord
    runs: tuple[Execution, ...]
    during: tuple[int, ...]
    """Numbers of the faults that it met."""


@dataclass
class Account:
    """Result of a run: outcomes by fault, and broken rules."""

    requests: int
    outcomes: Counter[str]
    by_kind: dict[str, Counter[str]]
    by_step: dict[int, Counter[str]]
    """Outcomes of the requests that met a step's faults, whichever of them."""
    slowest: dict[int, float]
    """Seconds of the slowest of them that were answered 200."""
    broken: list[Violation] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "requests": self.requests,
            "outcomes": dict(self.outcomes),
            "by_kind": {kind: dict(counts) for kind, counts in self.by_kind.items()},
            "slowest": {number: round(seconds, 2) for number, seconds in self.slowest.items()},
            "by_step": {number: dict(counts) for number, counts in self.by_step.items()},
            "broken": [asdict(one) for one in self.broken],
        }


def read_journal(lines: Iterable[str]) -> dict[str, list[Execution]]:
    """Return the runs of every request, by its id."""
    began: dict[str, list[tuple[str, float]]] = defaultdict(list)
    ended: Counter[tuple[str, str]] = Counter()
    for line in lines:
        what, name, session, at = line.split()
        if what == "B":
            began[name].append((session, float(at)))
        else:
            ended[name, session] += 1
    runs: dict[str, list[Execution]] = {}
    for name, all_of_it in began.items():
        runs[name] = []
        for session, at_s in all_of_it:
            done = ended[name, session] > 0
            ended[name, session] -= done
            runs[name].append(Execution(session, at_s, done))
    return runs


def settle(
    asked: Sequence[RequestRecord], runs: Mapping[str, Sequence[Execution]], faults: Sequence[FaultRecord], sent: int
) -> Account:
    """Return the account. `sent`: number of requests sent; each must have exactly one outcome."""
    account = Account(
        len(asked),
        Counter(one.outcome for one in asked),
        defaultdict(Counter),
        defaultdict(Counter),
        defaultdict(float),
    )
    for one in asked:
        account.by_kind[one.kind][one.outcome] += 1
        own = tuple(runs.get(one.id, ()))
        during = met(faults, one)
        for number in during:
            account.by_step[number][one.outcome] += 1
            if one.outcome == "200":
                account.slowest[number] = max(account.slowest[number], one.ended_s - one.sent_s)
        account.broken += [Violation(rule, one, own, during) for rule in _broken_rules(one, own, faults)]
    known = {one.id for one in asked}
    if len(known) != len(asked) or sent != len(asked):
        never = RequestRecord("-", "get", "-", 0.0, 0.0, "none")
        account.broken.append(
            Violation(f"{sent} requests were sent, {len(asked)} ended, {len(known)} different ones", never, (), ())
        )
    for name in sorted(runs.keys() - known):
        stranger = RequestRecord(name, "get", "-", 0.0, 0.0, "none")
        account.broken.append(Violation("a replica ran what nobody asked for", stranger, tuple(runs[name]), ()))
    return account


def met(faults: Iterable[FaultRecord], one: RequestRecord) -> tuple[int, ...]:
    """Return the numbers of the faults during which the request was open."""
    return tuple(
        sorted(
            {
                fault.number
                for fault in faults
                if one.ended_s >= fault.began_s and (fault.recovered_s is None or one.sent_s <= fault.recovered_s)
            }
        )
    )


def _broken_rules(one: RequestRecord, runs: Sequence[Execution], faults: Sequence[FaultRecord]) -> Iterable[str]:
    times = len(runs)
    if one.kind not in SAFE and times > 1:
        yield f"ran {times} times, though it is not safe to send it again"
    if times > MAX_RUNS:
        yield f"ran {times} times; a safe request is sent again at most twice"
    if one.outcome == "200":
        if times == 0:
            yield "was answered 200, but no replica ran it"
        return
    if _reason(one) in NEVER_RAN and times and one.kind not in SAFE:
        yield f"was told {one.outcome}, which says that it did not run, but it did"
    if not any(fault.excuses(one, runs) for fault in faults):
        yield f"ended as {one.outcome}, for which there is no reason"


def _reason(one: RequestRecord) -> str:
    return one.outcome.partition(":")[2]
