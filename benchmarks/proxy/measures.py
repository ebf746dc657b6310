"""Measurements: a load on one proxy for a few seconds, and the resulting numbers."""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.proxy import calls
from benchmarks.proxy.machine import HERE, MissingError
from benchmarks.proxy.processes import core_busy_s, quiet, spent_s
from benchmarks.proxy.proxies import Proxy

CONNECTIONS = 64
PACE_PER_S = 500
CHUNK_STREAMS, TTFT_STREAMS = 200, 500
EVENTS_PER_S = 100
_RAMP_S = 1.5
_SPARE_FILES = 200


class LoadFailedError(Exception):
    """A load generator failed or reported errors; the message says how."""


@dataclass(frozen=True, slots=True)
class Loads:
    """Load generators, their cores, and the duration of each measurement."""

    wrk: str
    paced: Path
    streams: Path
    on: Sequence[int]
    proxy_core: int
    seconds: float

    def callers(self, proxy: Proxy) -> dict[str, float]:
        """Requests per second over 64 connections, with realistic requests: no two with the same head."""
        core_before = core_busy_s(self.proxy_core)
        found, spent = self.pressed(proxy, proxy.real_calls())
        cpu = sum(spent.values())
        return {
            "callers": found["requests"] / found["seconds"],
            "callers_cpu": cpu / found["requests"] * 1e6,
            "busy": cpu / found["seconds"] * 100,
            "others": max(0.0, (core_busy_s(self.proxy_core) - core_before) - cpu) / found["seconds"] * 100,
        }

    def requests(self, proxy: Proxy) -> dict[str, float]:
        """Requests per second in the best case: 16 callers whose requests differ only in bodies and lengths."""
        found, spent = self.pressed(proxy, proxy.callers_calls(), callers=calls.CALLERS)
        return {
            "requests": found["requests"] / found["seconds"],
            "requests_cpu": sum(spent.values()) / found["requests"] * 1e6,
        }

    def gets(self, proxy: Proxy) -> dict[str, float]:
        """Requests per second without a body, each with another path and other fields than the one before."""
        if not proxy.forwards_gets:
            raise LoadFailedError("it answers by itself")
        found, _ = self.pressed(proxy, proxy.bodiless_calls())
        return {"gets": found["requests"] / found["seconds"]}

    def latency(self, proxy: Proxy) -> dict[str, float]:
        """Latency of complete answers at a constant 500 requests a second (open loop)."""
        found = self._json([self.paced, proxy.port, PACE_PER_S, self.seconds, proxy.one_callers_calls()])
        _refuse_errors(found, found["count"])
        return {"latency_p50": found["p50_us"], "latency_p99": found["p99_us"]}

    def chunks(self, proxy: Proxy) -> dict[str, float]:
        """CPU of the proxy per event of 200 streams with an event every 10 ms."""
        lasting = int((_RAMP_S + self.seconds + 1) * EVENTS_PER_S)
        found, cpu = self._streams(proxy, CHUNK_STREAMS, lasting)
        expected = CHUNK_STREAMS * EVENTS_PER_S * found["seconds"]
        if found["events"] < 0.9 * expected:
            raise LoadFailedError(f"{found['events']} of about {expected:.0f} events came through")
        return {"chunk_cpu": cpu / found["events"] * 1e6}

    def first_bytes(self, proxy: Proxy) -> dict[str, float]:
        """Time to the first body byte while 500 streams run; each lasts a second, then the next one begins."""
        found, _ = self._streams(proxy, TTFT_STREAMS, EVENTS_PER_S)
        if found["answers"] < TTFT_STREAMS * found["seconds"] / 2:
            raise LoadFailedError(f"{found['answers']} streams began in {found['seconds']} s")
        return {"ttft_p50": found["ttft_p50_us"], "ttft_p99": found["ttft_p99_us"]}

    def pressed(
        self, proxy: Proxy, requests: Path, *, callers: int = 1, connections: int = CONNECTIONS
    ) -> tuple[dict[str, Any], dict[int, float]]:
        """Run wrk; return its counts and the CPU seconds of each of the proxy's processes. callers: a thread each."""
        environment = {"REQUESTS": str(requests), "CALLERS": str(callers)}
        command = [
            self.wrk,
            "-t",
            callers,
            "-c",
            connections,
            "-d",
            f"{max(1, round(self.seconds))}s",
            "--timeout",
            "5s",
            "-s",
            HERE / "load" / "calls.lua",
            f"http://127.0.0.1:{proxy.port}",
        ]
        before = proxy.running.cpu_s() if proxy.running else {}
        found = self._json(command, environment)
        after = proxy.running.cpu_s() if proxy.running else {}
        _refuse_errors(found, found["requests"])
        return found, spent_s(before, after)

    def _streams(self, proxy: Proxy, count: int, events: int) -> tuple[dict[str, Any], float]:
        """Run the stream generator; return its counts and the proxy's CPU seconds in the same time."""
        command = self._on_core([self.streams, proxy.port, count, _RAMP_S, self.seconds, proxy.calls(events)])
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            began = process.stdout.readline()
            before = proxy.running.cpu_s() if proxy.running else {}
            ended = process.stdout.readline()
            after = proxy.running.cpu_s() if proxy.running else {}
        if proxy.running:
            quiet(proxy.running)
        if began.strip() != "begin" or not ended:
            raise LoadFailedError(f"the streams ended early: {(began + ended).strip()[:200]}")
        found = json.loads(ended)
        _refuse_errors(found, found["events"])
        return found, sum(spent_s(before, after).values())

    def _on_core(self, command: Sequence[object]) -> list[str]:
        return ["taskset", "-c", ",".join(map(str, self.on)), *map(str, command)]

    def _json(self, command: Sequence[object], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Run a command to its end and return its last line, a JSON object."""
        done = subprocess.run(
            self._on_core(command),
            capture_output=True,
            text=True,
            check=False,
            timeout=self.seconds + 60,
            env=os.environ | dict(environment or {}),
        )
        last = (done.stdout.splitlines() or [""])[-1]
        if done.returncode or not last.startswith("{"):
            raise LoadFailedError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
        found: dict[str, Any] = json.loads(last)
        return found


def idle(proxy: Proxy, wanted: int) -> tuple[int, float]:
    """Open connections, one call on each; return the number held open at the same time, and the proxy's RSS in MB.

    Fewer than wanted where the machine's limit of open files requires it.
    """
    if proxy.running is None:
        raise MissingError("no process")
    count = min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE_FILES)
    with ExitStack() as stack:
        held = []
        for number in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=10))
            # Closed with RST: ten thousand ports in TIME_WAIT would be missing in the next measurement.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(calls.call(number, prefix=proxy.prefix, tokens=proxy.tokens))
            if b" 200" not in connection.recv(65536).split(b"\r\n", 1)[0]:
                raise LoadFailedError(f"connection {number} was not answered 200")
            held.append(connection)
        memory = proxy.running.rss_mb()
        for connection in held:
            connection.settimeout(0)
        lost = sum(_ended(connection) for connection in held)
        if lost:
            raise LoadFailedError(f"{lost} of {count} idle connections were closed")
    return count, memory


def _ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(65536) == b""  # the rest of an answer is no end
    except BlockingIOError:
        return False
    except OSError:
        return True


def _refuse_errors(found: Mapping[str, Any], count: float) -> None:
    """Raise LoadFailedError above a thousandth of errors: a proxy that refuses would look fast."""
    if found["errors"] > count / 1000 or not count:
        raise LoadFailedError(f"{found['errors']} errors beside {count} answers")
