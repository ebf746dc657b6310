"""What the app-proxy's processes load: each module is memory in every one of them. (Pygments comes with rich.)"""

from __future__ import annotations

import socket
import subprocess
import sys

_NEVER = {"aiohttp", "asyncpg", "nats", "opentelemetry", "prometheus_client", "psutil", "pygments", "redis", "typer"}
_NOT_BY_A_PARENT = {
    "asyncpg",
    "cryptography",
    "httptools",
    "jwt",
    "opentelemetry",
    "psutil",
    "pygments",
    "redis",
    "typer",
}


def _packages(*run: str, fds: tuple[int, ...] = ()) -> set[str]:
    """Return the top-level packages that a Python process loads until it ends."""
    command = [sys.executable, "-X", "importtime", *run]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, pass_fds=fds)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_a_worker_without_redis_and_spans_loads_no_more_than_it_serves_with() -> None:
    ours, theirs = socket.socketpair()
    ours.close()  # a worker whose parent is gone before it said anything ends
    with theirs:
        loaded = _packages("-m", "headrace.appproxy.worker", str(theirs.fileno()), "0", fds=(theirs.fileno(),))
    assert {"uvloop", "httptools", "pydantic"} <= loaded
    assert loaded & _NEVER == set()


def test_the_parent_of_workers_does_not_load_what_they_carry_the_traffic_with() -> None:
    loaded = _packages("-c", "import sys; sys.modules['rich'] = None; import headrace.appproxy.running")
    assert {"aiohttp", "nats"} <= loaded
    assert loaded & _NOT_BY_A_PARENT == set()
