"""Reports of a run on hosts: a table of its rounds, and all of it as JSON values."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from tests.chaos.network.run import Result
from tests.chaos.stack.report import broken_rules

_WIDE = 62


def table(result: Result) -> str:
    """Return a row for each round, the sum, and what broke a rule."""
    lines = [f"{'round':>5}  {'what':<{_WIDE}} {'as wanted after':>15}  {'requests':>8}  {'slowest':>8}  not 200"]
    for one in result.rounds:
        own = [fault for fault in result.faults if fault.number == one.number]
        outcomes = result.account.by_step.get(one.number, Counter())
        healed_s = max((fault.ended_s or 0.0 for fault in own), default=0.0)
        recovered = [fault.recovered_s for fault in own if fault.recovered_s is not None]
        took = f"{max(recovered) - healed_s:.1f} s" if recovered else "never"
        slowest = f"{result.account.slowest.get(one.number, 0.0):.1f} s"
        others = ", ".join(f"{number} {what}" for what, number in sorted(outcomes.items()) if what != "200") or "–"
        lines.append(f"{one.number:>5}  {one!s:<{_WIDE}} {took:>15}  {outcomes.total():>8}  {slowest:>8}  {others}")
    lines.append("")
    for kind, counts in sorted(result.account.by_kind.items()):
        lines.append(f"{kind:<8} {counts.total():>6}: " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    lines.append(
        f"\n{result.account.requests} requests in {result.seconds:.0f} s, {len(result.rounds)} rounds; "
        f"unexplained: {len(result.account.broken)}"
    )
    lines += broken_rules(result.account.broken)
    for number, what in result.wrong.items():
        lines += [f"wrong {f'after round {number}' if number else 'at the end'}: {one}" for one in what]
    return "\n".join(lines)


def record(result: Result) -> dict[str, Any]:
    """Return the result as JSON values."""
    return {
        "seed": result.seed,
        "seconds": round(result.seconds, 1),
        "passed": result.passed,
        "rounds": [asdict(one) for one in result.rounds],
        "account": result.account.as_json(),
        "wrong": result.wrong,
    }
