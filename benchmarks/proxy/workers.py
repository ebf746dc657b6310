"""Comparison of several worker processes with one: requests per second, and CPU per request where cores are too few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.proxy import calls
from benchmarks.proxy.machine import Cores
from benchmarks.proxy.measures import LoadFailedError, Loads
from benchmarks.proxy.proxies import Proxy, headrace

WORKERS = 2
CONNECTIONS = 256


def places(cores: Cores) -> tuple[Sequence[int], Sequence[int]]:
    """Return the cores of the proxy with several workers, and of the load; with fewer than four cores both use all."""
    return (cores.all[:WORKERS], cores.all[WORKERS:]) if cores.apart else (cores.all, cores.all)


def start_pair(backends: Sequence[int], cores: Cores) -> tuple[Proxy, Proxy]:
    """Start the app-proxy with one worker and with several. Raises MissingError."""
    on, _ = places(cores)
    many = headrace(backends, on, workers=WORKERS)
    try:
        return headrace(backends, on[:1] if cores.apart else on, workers=1), many
    except BaseException:
        assert many.running is not None
        many.running.stop()
        raise


def compare(loads: Loads, one: Proxy, many: Proxy) -> dict[str, float]:
    """Measure both, one after the other."""
    single, single_spent = loads.pressed(one, one.callers_calls(), connections=CONNECTIONS, callers=calls.CALLERS)
    several, several_spent = loads.pressed(many, many.callers_calls(), connections=CONNECTIONS, callers=calls.CALLERS)
    unevenness = busiest_over_mean(several_spent)
    per_request = [sum(s.values()) / f["requests"] for f, s in ((single, single_spent), (several, several_spent))]
    rates = [found["requests"] / found["seconds"] for found in (single, several)]
    return {
        "workers_requests": rates[1] / rates[0],
        "workers_capacity": per_request[0] / per_request[1] / unevenness,
    }


def busiest_over_mean(spent: Mapping[int, float]) -> float:
    """Return the ratio of the busiest worker's CPU to the mean worker's; the parent process is left out."""
    busiest = sorted(spent.values(), reverse=True)[:WORKERS]
    if len(busiest) < WORKERS or not sum(busiest):
        raise LoadFailedError(f"the proxy has {len(spent)} processes, not {WORKERS} workers")
    return busiest[0] / (sum(busiest) / WORKERS)
