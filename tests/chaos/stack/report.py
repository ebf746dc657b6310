"""Reports of a run, for people (table) and programs (JSON)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tests.chaos.stack.account import Violation
from tests.chaos.stack.run import Result

_SHOWN = 20


def table(result: Result) -> str:
    """Return a table of faults and request outcomes, the sum, and the broken rules."""
    lines = [f"{'step':>4}  {'fault':<16} {'until as wanted':>15}  {'requests':>8}  {'slowest':>8}  not 200"]
    for fault in result.faults:
        outcomes = result.account.by_step.get(fault.number, Counter())
        slowest = f"{result.account.slowest.get(fault.number, 0.0):.1f} s"
        took = f"{fault.recovered_s - fault.began_s:.1f} s" if fault.recovered_s is not None else "never"
        others = ", ".join(f"{number} {what}" for what, number in sorted(outcomes.items()) if what != "200") or "–"
        lines.append(
            f"{fault.number:>4}  {fault.kind:<16} {took:>15}  {outcomes.total():>8}  {slowest:>8}  {others}   [{fault.target}]"
        )
    lines.append("")
    for kind, counts in sorted(result.account.by_kind.items()):
        lines.append(f"{kind:<8} {counts.total():>6}: " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    broken = result.account.broken
    lines.append(
        f"\n{result.account.requests} requests in {result.seconds:.0f} s, {len(result.faults)} faults; unexplained: {len(broken)}"
    )
    lines += broken_rules(broken)
    lines += [f"wrong: {one}" for one in result.wrong]
    return "\n".join(lines)


def broken_rules(broken: Sequence[Violation]) -> list[str]:
    """Return a line for each broken rule, of the first of them."""
    lines = []
    for one in broken[:_SHOWN]:
        runs = (
            ", ".join(f"{run.session} at {run.began_s:.2f}{'' if run.ended else ' (not ended)'}" for run in one.runs)
            or "never"
        )
        lines.append(
            f"  {one.asked.id} to {one.asked.service}, {one.asked.sent_s:.2f} to {one.asked.ended_s:.2f}: {one.rule}; "
            f"ran: {runs}; met steps {list(one.during)}"
        )
    if len(broken) > _SHOWN:
        lines.append(f"  and {len(broken) - _SHOWN} more")
    return lines


def record(result: Result) -> dict[str, Any]:
    """Return the result as JSON values."""
    faults = [
        asdict(fault) | {"costs": sorted(fault.costs), "sessions": sorted(fault.sessions or ())}
        for fault in result.faults
    ]
    return {
        "seed": result.seed,
        "seconds": round(result.seconds, 1),
        "passed": result.passed,
        "faults": faults,
        "account": result.account.as_json(),
        "wrong": result.wrong,
    }
