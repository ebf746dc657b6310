"""Access log of a run beside what its callers saw: each request has one entry, which says the same. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.stack.account import Execution, FaultRecord, RequestRecord, Violation, met

UNTOLD: Final = frozenset({"no-connection", "lost", "lost-kept", "timeout"})
"""Outcomes of a caller that was told nothing: the app-proxy may never have had its request."""
_WHOLE: Final = frozenset({200, 101})


@dataclass(frozen=True)
class LogEntry:
    """One line of the access log."""

    request_id: str
    status: int
    reason: str | None
    broken: str | None
    session: str | None

    @property
    def outcome(self) -> str:
        """What the caller has seen, if this is true."""
        if self.broken is not None:
            return f"cut:{self.broken}"
        return "200" if self.status in _WHOLE else f"{self.status}:{self.reason or '?'}"


def entries_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, list[LogEntry]]:
    """Return the entries by request."""
    found: dict[str, list[LogEntry]] = defaultdict(list)
    for line in lines:
        entry = LogEntry(
            str(line["request_id"]), int(line["status"]), line["reason"], line["broken"], line["session_id"]
        )
        found[entry.request_id].append(entry)
    return found


def disagreements(
    asked: Sequence[RequestRecord],
    log: Mapping[str, Sequence[LogEntry]],
    runs: Mapping[str, Sequence[Execution]],
    faults: Sequence[FaultRecord] = (),
) -> Iterator[Violation]:
    """Yield where callers, access log and replicas do not say the same."""
    for one in asked:
        own = tuple(runs.get(one.id, ()))
        for rule in _wrong(one, log.get(one.id, ()), own):
            yield Violation(rule, one, own, met(faults, one))
    for name in sorted(log.keys() - {one.id for one in asked}):
        stranger = RequestRecord(name, "get", "-", 0.0, 0.0, "none")
        yield Violation(f"the access log has {log[name][0]}, which nobody asked", stranger, (), ())


def _wrong(one: RequestRecord, entries: Sequence[LogEntry], runs: Sequence[Execution]) -> Iterator[str]:
    if len(entries) > 1:
        yield f"has {len(entries)} entries in the access log"
    if one.outcome in UNTOLD:
        if runs and (not entries or one.outcome == "lost-kept"):
            yield f"ran, and its caller saw {one.outcome}; in the access log: {entries}"
        return
    if not entries:
        yield f"ended as {one.outcome}, but the access log does not have it"
        return
    logged = entries[0].outcome
    # A plain cut has no room for its reason (a body whose length was promised), and the end of a WebSocket is passed on as it
    # comes from the replica.
    passed_on = one.outcome == "cut" and (logged.startswith("cut:") or one.kind == "socket")
    if logged != one.outcome and not passed_on:
        yield f"ended as {one.outcome}, but the access log says {logged}"
    elif one.outcome == "200" and runs and entries[0].session not in {run.session for run in runs}:
        yield f"was answered by {entries[0].session} by the access log, but ran on {[run.session for run in runs]}"
