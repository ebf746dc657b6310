"""Comparison of the app-proxy with other proxies on this machine: `python -m benchmarks.proxy` (`make bench-proxy`).

Every proxy runs as a real process on one core, the load and a C backend on another. Each measurement visits all proxies
before it is repeated, so that changes of the machine meanwhile affect all of them; medians of the rounds' ratios are
judged. Prints two tables, writes build/bench-proxy.json, and exits 1 where a floor is missed (not with --quick) or our
own proxy could not be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from benchmarks.proxy import proxies, workers
from benchmarks.proxy.machine import BUILD, WORK, Cores, MissingError, allow_files, compiled, cores, program
from benchmarks.proxy.measures import LoadFailedError, Loads, idle
from benchmarks.proxy.processes import free_port, start
from benchmarks.proxy.proxies import Proxy
from benchmarks.proxy.results import GATES, OURS, doubts, judge, proxies_table, records, verdicts_table

MEASURES = ("callers", "requests", "gets", "latency", "chunks", "first_bytes", "idle", "workers")
IDLE, QUICK_IDLE = 10_000, 1_000


class Bench:
    """Running proxies, results so far, and why other proxies are missing."""

    def __init__(self, loads: Loads, where: Cores, backends: Sequence[int]) -> None:
        self.samples: dict[tuple[str, str], list[float | None]] = {}
        self.notes: list[str] = []
        self._loads, self._cores, self._backends = loads, where, backends
        self._running: list[Proxy] = []

    def start(self, names: Sequence[str], stack: ExitStack) -> None:
        """Start the proxies that are available."""
        for name in names:
            print(f"starting {name}", flush=True)
            try:
                proxy = proxies.ALL[name](self._backends, self._cores.proxy)
            except MissingError as why:
                self._note(f"{name} is missing: {why}")
                continue
            if proxy.running is not None:
                stack.callback(proxy.running.stop)
            self._running.append(proxy)

    def go_round(self, measure: str, rounds: int) -> None:
        """Measure every proxy once a round, each round starting with another one."""
        work: Callable[[Proxy], dict[str, float]] = getattr(self._loads, measure)
        for number in range(rounds):
            turn = number % max(1, len(self._running))
            for proxy in (*self._running[turn:], *self._running[:turn]):
                self._one(measure, proxy.name, number, lambda proxy=proxy: work(proxy))  # type: ignore[misc]  # bound now

    def idle(self, wanted: int) -> None:
        """Measure memory with idle connections, once: it does not vary."""
        for proxy in self._running:
            if proxy.running is not None:
                self._one("idle", proxy.name, 0, lambda proxy=proxy: self._idle(proxy, wanted))  # type: ignore[misc]

    def workers(self, rounds: int, stack: ExitStack) -> None:
        """Measure several workers of the app-proxy against one."""
        try:
            pair = workers.start_pair(self._backends, self._cores)
        except MissingError as why:
            self._note(f"several workers are not measured: {why}")
            return
        for proxy in pair:
            assert proxy.running is not None
            stack.callback(proxy.running.stop)
        for number in range(rounds):
            self._one("workers", OURS, number, lambda: workers.compare(self._loads, *pair))

    def _idle(self, proxy: Proxy, wanted: int) -> dict[str, float]:
        count, memory = idle(proxy, wanted)
        if count < wanted:
            self._note(f"{proxy.name}: {count} idle connections instead of {wanted} (limit of open files)")
        return {"idle_rss": memory}

    def _one(self, measure: str, name: str, number: int, work: Callable[[], dict[str, float]]) -> None:
        try:
            found = work()
        except (LoadFailedError, OSError) as why:
            self._note(f"{name}, {measure}, round {number + 1}: {why}")
            return
        print(f"  {measure} {number + 1} {name}: " + ", ".join(f"{k} {v:,.1f}" for k, v in found.items()), flush=True)
        for key, value in found.items():
            rounds = self.samples.setdefault((key, name), [])
            rounds.extend([None] * (number - len(rounds)))  # rounds that failed
            rounds.append(value)

    def _note(self, text: str) -> None:
        print(f"  ! {text}", flush=True)
        self.notes.append(text)


def main() -> int:
    """Measure, print, write the JSON; return the exit status."""
    options = _options()
    where = cores()
    allow_files()
    seconds, rounds = (1.0, 1) if options.quick else (options.seconds, options.rounds)
    with ExitStack() as stack:
        bench = _set_up(where, seconds, stack)
        bench.start(options.proxies, stack)
        for measure in options.measures:
            if measure == "idle":
                bench.idle(QUICK_IDLE if options.quick else IDLE)
            elif measure != "workers":
                bench.go_round(measure, rounds)
        if "workers" in options.measures and OURS in options.proxies:
            _, load = workers.places(where)
            apart = Bench(_loads(load, where, seconds), where, bench._backends)  # noqa: SLF001
            apart.workers(rounds, stack)
            bench.samples |= apart.samples
            bench.notes += apart.notes
    return _show(bench, options, seconds, rounds, where)


def _set_up(where: Cores, seconds: float, stack: ExitStack) -> Bench:
    ports = [free_port(), free_port()]
    backend = start("backend", [compiled("backend"), *map(str, ports)], on=where.load, folder=WORK / "backend")
    stack.callback(backend.stop)
    return Bench(_loads(where.load, where, seconds), where, ports)


def _loads(on: Sequence[int], where: Cores, seconds: float) -> Loads:
    return Loads(program("wrk"), compiled("paced"), compiled("streams"), on, where.proxy[0], seconds)


def _show(bench: Bench, options: argparse.Namespace, seconds: float, rounds: int, where: Cores) -> int:
    verdicts = [judge(gate, bench.samples) for gate in GATES]
    print(
        f"\nMedians of {rounds} rounds of {seconds:g} s. Proxies on core {where.proxy[0]}, load and backend on core {where.load[0]}."
    )
    print(proxies_table(bench.samples, [name for name in options.proxies if any(name == p for _, p in bench.samples)]))
    print(f"\n{verdicts_table(verdicts)}")
    if not where.apart:
        print(
            "Workers: the load shares their cores, so capacity is N × CPU per request of one ÷ of N ÷ the busiest's share."
        )
    for note in (*bench.notes, *doubts(bench.samples, options.proxies)):
        print(f"Note: {note}")
    BUILD.mkdir(exist_ok=True)
    target = BUILD / "bench-proxy.json"
    target.write_text(json.dumps(records(bench.samples), indent=2, ensure_ascii=False) + "\n")
    print(f"Written: {target}")
    ran = OURS not in options.proxies or any(proxy == OURS for _, proxy in bench.samples)
    if options.quick:
        print("Quick: one short round; these numbers show that everything runs, not how fast.")
        return int(not ran)
    return int(not ran or any(verdict.met == "missed" for verdict in verdicts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxy", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement (3)")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of one measurement (8)")
    parser.add_argument("--quick", action="store_true", help="one round of a second each: does everything run?")
    parser.add_argument("--proxies", type=_names(tuple(proxies.ALL)), default=list(proxies.ALL), help="comma-separated")
    parser.add_argument("--measures", type=_names(MEASURES), default=list(MEASURES), help="comma-separated")
    return parser.parse_args()


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        asked = text.split(",")
        if unknown := [name for name in asked if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(known)}")
        return asked

    return parse


if __name__ == "__main__":
    sys.exit(main())
