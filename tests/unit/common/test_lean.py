"""What the processes of an installation load: nothing that is large and that no service uses, also where it is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

ENTRIES = {
    "manager": "headrace.manager.running",
    "agent": "headrace.agent.running",
    "autoscaler": "headrace.autoscaler.running",
    "appproxy": "headrace.appproxy.running",
    "worker": "headrace.appproxy.worker.worker",
    "up": "headrace.embedded.supervisor",
}
UNUSED = {"rich", "pygments", "pynvml", "opentelemetry.sdk.metrics"}
LOADED = """
import sys
from headrace.common.runtime.lean import load_lean
load_lean()
__import__(sys.argv[1])
print(*(name for name, module in sys.modules.items() if module is not None))
"""


def loaded(module: str) -> set[str]:
    """Return the modules of a process that starts as a service does and imports `module`."""
    ran = subprocess.run([sys.executable, "-c", LOADED, module], capture_output=True, text=True, check=True, timeout=60)
    return set(ran.stdout.split())


@pytest.mark.parametrize("process", ENTRIES)
def test_a_process_loads_nothing_large_that_it_does_not_use(process: str) -> None:
    assert loaded(ENTRIES[process]).isdisjoint(UNUSED)


def test_a_worker_loads_neither_the_http_library_nor_the_bus() -> None:
    assert loaded(ENTRIES["worker"]).isdisjoint({"aiohttp", "nats", "redis", "prometheus_client"})


def test_the_supervisor_of_the_stack_loads_no_models_of_the_api() -> None:
    modules = loaded("headrace.cli.commands.stack")
    assert not [name for name in modules if name.startswith(("headrace.sdk", "headrace.common.contracts.http"))]
