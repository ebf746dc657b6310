"""Evaluation of measurements: medians, ratios of paired rounds, floors and goals, tables, JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

OURS = "headrace"
DIRECT = "direct"

Rounds = Sequence[float | None]
"""One number a round, in the order of the rounds; None where it could not be had."""
Samples = Mapping[tuple[str, str], Rounds]
"""(measure, proxy) → its rounds."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One measured quantity; `digits`: decimals shown."""

    name: str
    unit: str
    title: str
    digits: int = 0
    over_direct: bool = False
    """Shown as what the proxy adds to the direct way."""


MEASURES = (
    Measure("callers", "1/s", "req/s"),
    Measure("busy", "%", "core busy %"),
    Measure("others", "%", "others on it %"),
    Measure("callers_cpu", "µs", "CPU µs per request", 1),
    Measure("requests", "1/s", "req/s, heads alike"),
    Measure("requests_cpu", "µs", "CPU µs, heads alike", 1),
    Measure("gets", "1/s", "GET/s"),
    Measure("latency_p50", "µs", "added p50 µs", over_direct=True),
    Measure("latency_p99", "µs", "added p99 µs", over_direct=True),
    Measure("chunk_cpu", "µs", "CPU µs per chunk", 1),
    Measure("ttft_p50", "µs", "TTFT p50 µs"),
    Measure("ttft_p99", "µs", "TTFT p99 µs"),
    Measure("idle_rss", "MB", "RSS MB, idle"),
    Measure("workers_requests", "×", "req/s, N workers ÷ 1", 2),
    Measure("workers_capacity", "×", "capacity, N workers ÷ N × 1", 2),
)

BUSY_PERCENT, OTHERS_PERCENT = 90, 5
"""A proxy that used less of its core was not the bound; others that used more of it disturbed."""

How = Literal["times-at-least", "times-at-most", "above-at-most", "at-most", "at-least"]


@dataclass(frozen=True, slots=True)
class Gate:
    """Target of our number: its ratio to (`times`) or distance from (`above`) a peer's, or the number itself."""

    title: str
    measure: str
    vs: str | None
    how: How
    floor: float
    goal: float


GATES = (
    Gate("requests/s ÷ nginx", "callers", "nginx", "times-at-least", 0.50, 0.60),
    Gate("requests/s ÷ HAProxy with JWT", "callers", "haproxy-jwt", "times-at-least", 0.85, 1.00),
    Gate("best case, heads alike: ÷ nginx", "requests", "nginx", "times-at-least", 0.60, 0.75),
    Gate("best case, heads alike: ÷ HAProxy with JWT", "requests", "haproxy-jwt", "times-at-least", 0.90, 1.10),
    Gate("requests/s ÷ Envoy with JWT", "callers", "envoy-jwt", "times-at-least", 1.5, 1.8),
    Gate("requests/s ÷ vLLM router", "callers", "vllm-router", "times-at-least", 1.5, 1.8),
    Gate("requests/s ÷ SGLang router", "callers", "sglang-router", "times-at-least", 2.0, 2.4),
    Gate("added p50 µs above nginx", "latency_p50", "nginx", "above-at-most", 60, 20),
    Gate("added p99 µs above nginx", "latency_p99", "nginx", "above-at-most", 150, 50),
    Gate("CPU per SSE chunk ÷ nginx", "chunk_cpu", "nginx", "times-at-most", 1.3, 1.15),
    Gate("TTFT p99 µs, 500 streams", "ttft_p99", None, "at-most", 5000, 3000),
    Gate("capacity of N workers ÷ N", "workers_capacity", None, "at-least", 0.7, 0.9),
    Gate("MB with idle connections", "idle_rss", None, "at-most", 150, 80),
)

_DIGITS: dict[How, int] = {
    "times-at-least": 2,
    "times-at-most": 2,
    "above-at-most": 0,
    "at-most": 0,
    "at-least": 2,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A gate and the judged number: the median of paired rounds, with minimum and maximum."""

    gate: Gate
    judged: float | None
    least: float | None = None
    most: float | None = None

    @property
    def met(self) -> Literal["goal", "floor", "missed", "not measured"]:
        """The better of floor and goal that is met."""
        if self.judged is None:
            return "not measured"
        low_is_good = self.gate.how.endswith("at-most")
        for word, bound in (("goal", self.gate.goal), ("floor", self.gate.floor)):
            if self.judged <= bound if low_is_good else self.judged >= bound:
                return "goal" if word == "goal" else "floor"
        return "missed"


def middle(rounds: Rounds) -> float | None:
    """Return the median of the rounds with a number; None without any."""
    known = [value for value in rounds if value is not None]
    return median(known) if known else None


def paired(ours: Rounds, theirs: Rounds) -> list[tuple[float, float]]:
    """Return both numbers of each round that has both: changes of the machine affected both."""
    return [(a, b) for a, b in zip(ours, theirs, strict=False) if a is not None and b is not None]


def ratios(ours: Rounds, theirs: Rounds) -> list[float]:
    """Return ours ÷ theirs of each paired round; rounds with theirs 0 are left out."""
    return [a / b for a, b in paired(ours, theirs) if b]


def judge(gate: Gate, samples: Samples) -> Verdict:
    """Evaluate the gate."""
    ours = samples.get((gate.measure, OURS), ())
    theirs = samples.get((gate.measure, gate.vs or ""), ())
    match gate.how:
        case "times-at-least" | "times-at-most":
            values = ratios(ours, theirs)
        case "above-at-most":
            values = [a - b for a, b in paired(ours, theirs)]
        case _:
            values = [value for value in ours if value is not None]
    return Verdict(gate, median(values), min(values), max(values)) if values else Verdict(gate, None)


def doubts(samples: Samples, proxies: Sequence[str]) -> list[str]:
    """Return why requests/s may be misleading: the load was the bottleneck, or another process used the core."""
    found = []
    for proxy in proxies:
        busy, others = (middle(samples.get((name, proxy), ())) for name in ("busy", "others"))
        if proxy == DIRECT or busy is None:
            continue
        if others is not None and others > OTHERS_PERCENT:
            found.append(f"{proxy}: others used {others:.0f} % of its core")
        elif busy < BUSY_PERCENT:
            found.append(
                f"{proxy}: its core was {busy:.0f} % busy, so the load, or what shares its core, was the bound: compare CPU per request"
            )
    return found


def records(samples: Samples) -> list[dict[str, Any]]:
    """Return the rows of bench-proxy.json: name, value, unit, vs, ratio.

    A row with `vs` has our median and its ratio to that proxy's, as the median of paired rounds; one without has a
    proxy's own median, under the name `<measure>/<proxy>`.
    """
    rows: list[dict[str, Any]] = []
    units = {measure.name: measure.unit for measure in MEASURES}
    for (measure, proxy), rounds in samples.items():
        value = middle(rounds)
        if value is None:
            continue
        row = {
            "name": f"{measure}/{proxy}",
            "value": round(value, 3),
            "unit": units[measure],
            "vs": None,
            "ratio": None,
        }
        rows.append(row)
        found = ratios(samples.get((measure, OURS), ()), rounds) if proxy != OURS else []
        if found:
            ours = middle(samples[measure, OURS])
            assert ours is not None  # a ratio needed it
            rows.append(row | {"name": measure, "value": round(ours, 3), "vs": proxy, "ratio": round(median(found), 3)})
    return rows


def as_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with aligned columns; the first is left-aligned."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
        return f"| {' | '.join(padded)} |"

    rule = [("-" * w) if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(head), line(rule), *(line(row) for row in rows)])


def proxies_table(samples: Samples, proxies: Sequence[str]) -> str:
    """Return every proxy's medians; measures that nobody has are left out."""
    shown = [m for m in MEASURES if any(samples.get((m.name, proxy)) for proxy in proxies)]
    rows = [[proxy, *(_cell(samples, measure, proxy) for measure in shown)] for proxy in proxies]
    return as_table(["proxy", *(measure.title for measure in shown)], rows)


def _cell(samples: Samples, measure: Measure, proxy: str) -> str:
    rounds = samples.get((measure.name, proxy), ())
    if measure.over_direct and proxy != DIRECT:
        value = middle([a - b for a, b in paired(rounds, samples.get((measure.name, DIRECT), ()))])
        return _number(value, measure.digits)
    shown = _number(middle(rounds), measure.digits)
    return f"({shown})" if measure.over_direct else shown


def verdicts_table(verdicts: Sequence[Verdict]) -> str:
    """Return the gates with what was found, floor, goal and what is met."""
    rows = []
    for verdict in verdicts:
        gate, digits = verdict.gate, _DIGITS[verdict.gate.how]
        sign = "≤" if gate.how.endswith("at-most") else "≥"
        spread = f"{_number(verdict.least, digits)} … {_number(verdict.most, digits)}"
        bounds = [f"{sign} {_number(bound, digits)}" for bound in (gate.floor, gate.goal)]
        rows.append([gate.title, _number(verdict.judged, digits), spread, *bounds, verdict.met])
    return as_table(["headrace", "median", "least … most", "floor", "goal", "met"], rows)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
