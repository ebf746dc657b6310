"""Benchmark of readiness: the time from a replica's readiness to its first answer, on a whole stack with a waiting caller.

The program answers its health check with 503 until a time of its own, and tells callers when that was. For each sample
a service of one such replica is created, a request for it is queued at the app-proxy, and the time of its answer is
compared with the time that it names: health check interval, report, manager's tables and app-proxy lie between. Results
go to build/bench-readiness.json. Fails when the target is missed: 0.25 s at p95.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles

import httpx
import structlog

from tests.support.worlds.stack import Stack

SAMPLES = 60
TARGET_S = 0.25
_CALL_S = 60.0
_PROGRAM = """
import http.server, random, sys, time
ready = time.time() + random.uniform(0.3, 1.3)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        content = repr(ready).encode()
        self.send_response(200 if time.time() >= ready else 503)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
_DEFINITION = {
    "models": [
        {
            "name": "ready",
            "model_path": "/models",
            "service": {
                "start_command": ["python", "-S", "-c", _PROGRAM, "8000"],
                "port": 8000,
                "health_check": {
                    "path": "/health",
                    "initial_delay": 0,
                },  # the other values are what is usual: every 10 s
            },
        }
    ]
}


async def sample(stack: Stack, number: int) -> float:
    """Return the seconds between a replica's readiness and the first answer to a caller."""
    name = f"ready-{number}"
    body = stack.spec(name, folder="ready", open_to_public=True, drain_grace_s=0, slots={"cpu": "0.01", "mem": "64m"})
    await stack.api.call("POST", "/v1/services", body)
    try:
        async with httpx.AsyncClient(timeout=_CALL_S) as caller:
            while True:
                answer = await caller.get(f"{stack.proxy}/{name}/")
                heard = time.time()
                if answer.status_code == 200:
                    return heard - float(answer.text)
                await asyncio.sleep(0.005)  # the app-proxy does not know it yet, or has waited for as long as it does
    finally:
        await stack.api.call("DELETE", f"/v1/services/{name}")


async def run(folder: Path) -> dict[str, float]:
    """Start a stack, take the samples one after the other, and return the results."""
    stack = Stack(folder / "data", runtime="process", python_image=None)
    await stack.start()
    try:
        await stack.api.folder("ready", {"model-definition.yaml": json.dumps(_DEFINITION)})
        await sample(stack, 0)  # loads what the first of all needs
        found = [await sample(stack, number) for number in range(1, SAMPLES + 1)]
    finally:
        await stack.stop()
    cuts = quantiles(found, n=20)
    return {
        "samples": len(found),
        "p50_s": cuts[9],
        "p95_s": cuts[18],
        "lowest_s": min(found),
        "highest_s": max(found),
        "load_average": os.getloadavg()[0],
    }


def show(found: dict[str, float]) -> bool:
    """Print the results; return whether the target is met."""
    good = found["p95_s"] <= TARGET_S
    print(
        f"from ready to the first answer at the endpoint, {found['samples']:.0f} replicas (load average "
        f"{found['load_average']:.1f}):"
    )
    print(
        f"  p50 {found['p50_s'] * 1000:.0f} ms, p95 {found['p95_s'] * 1000:.0f} ms ({found['lowest_s'] * 1000:.0f} to "
        f"{found['highest_s'] * 1000:.0f}); target for p95 {TARGET_S * 1000:.0f}: {'met' if good else 'missed'}"
    )
    return good


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with tempfile.TemporaryDirectory() as temporary:
        results = asyncio.run(run(Path(temporary)))
    target = Path("build") / "bench-readiness.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(0 if show(results) else 1)
