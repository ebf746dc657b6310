"""Our app-proxy against another build of it, in turns: `python -m benchmarks.proxy.against DIR`.

DIR is a folder like build/profiled, made in another checkout by `HEADRACE_COMPILE=profiled make compile`. Both builds run as they
do in `benchmarks.proxy`, on one core, with the load and the backend on another; a round measures before, now, now, before, so that
what changes on the machine meanwhile changes both alike. Prints requests a second and CPU per request: medians, in brackets the
least and the most; and of now ÷ before, round by round. Nothing is judged: that one version is no slower than another is for people
to say, who know the machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean, median

from benchmarks.proxy.machine import WORK, allow_files, compiled, cores, program
from benchmarks.proxy.measures import Loads
from benchmarks.proxy.processes import free_port, start
from benchmarks.proxy.proxies import Proxy, headrace_build

KINDS = {"unlike": ("callers", "callers_cpu"), "alike": ("requests", "requests_cpu")}
"""By which measure each kind of requests is measured, and the names of its numbers."""


def main() -> None:
    """Measure, and print."""
    options = _options()
    where = cores()
    allow_files()
    with ExitStack() as stack:
        ports = [free_port(), free_port()]
        backend = start("backend", [compiled("backend"), *map(str, ports)], on=where.load, folder=WORK / "backend")
        stack.callback(backend.stop)
        loads = Loads(
            program("wrk"), compiled("paced"), compiled("streams"), where.load, where.proxy[0], options.seconds
        )
        pair: list[Proxy] = []
        for name, build in (("before", options.build), ("now", options.now)):
            pair.append(headrace_build(f"against-{name}", build, ports, where.proxy))
            running = pair[-1].running
            assert running is not None
            stack.callback(running.stop)
        for kind in options.kinds.split(","):
            rate, cpu = KINDS[kind]
            measure: Callable[[Proxy], dict[str, float]] = getattr(loads, rate)
            rounds = [go_round(measure, *pair, names=(rate, cpu)) for _ in range(options.rounds)]
            for number, name in enumerate((f"{kind}: requests/s", f"{kind}: CPU µs per request")):
                print(report(name, [(one[number], other[number]) for one, other in rounds]), flush=True)


def go_round(
    measure: Callable[[Proxy], dict[str, float]], before: Proxy, now: Proxy, *, names: tuple[str, str]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Measure before, now, now, before; return for each of the two (rate, CPU), the mean of its two measurements."""
    found = [measure(proxy) for proxy in (before, now, now, before)]
    rate, cpu = names

    def mean(one: int, other: int) -> tuple[float, float]:
        return fmean((found[one][rate], found[other][rate])), fmean((found[one][cpu], found[other][cpu]))

    return mean(0, 3), mean(1, 2)


def report(name: str, rounds: Sequence[tuple[float, float]]) -> str:
    """Return a line on what rounds gave, each (before, now)."""
    before, now, ratios = (
        [one for one, _ in rounds],
        [other for _, other in rounds],
        [other / one for one, other in rounds],
    )
    return f"{name}: before {_spread(before, 1)}, now {_spread(now, 1)}, now ÷ before {_spread(ratios, 3)}"


def _spread(numbers: Sequence[float], digits: int) -> str:
    return f"{median(numbers):,.{digits}f} ({min(numbers):,.{digits}f} … {max(numbers):,.{digits}f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxy.against", description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, help="the other version, compiled: a folder like build/profiled")
    parser.add_argument("--now", type=Path, help="instead of this checkout's own build")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of four measurements each (6)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement (2)")
    parser.add_argument("--kinds", default="unlike,alike", help="comma-separated: unlike, alike")
    return parser.parse_args()


if __name__ == "__main__":
    main()
