"""What the processes of an installation load: nothing that is large and that no service uses, also where it is installed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ENTRIES = {
    "worker": "headrace.appproxy.worker.worker",
    "up": "headrace.cli.commands.stack",
    "supervisor": "headrace.embedded.supervisor",
    "appproxy": "headrace.appproxy.running",
    "agent": "headrace.agent.running",
    "autoscaler": "headrace.autoscaler.running",
    "manager": "headrace.manager.running",
}
"""What each process imports, those first that are to load little: one process imports all, one after another."""
UNUSED = {"rich", "pygments", "pynvml", "opentelemetry.sdk.metrics"}
LOADED = """
import json, sys
from headrace.common.runtime.lean import load_lean
load_lean()
found = {}
for process, module in json.loads(sys.argv[1]).items():
    __import__(module)
    found[process] = [name for name, module in sys.modules.items() if module is not None]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """The modules of a process that starts as a service does and imports what a process does; those before it included."""
    command = [sys.executable, "-c", LOADED, json.dumps(ENTRIES)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return {process: set(modules) for process, modules in json.loads(ran.stdout).items()}


@pytest.mark.parametrize("process", ENTRIES)
def test_a_process_loads_nothing_large_that_it_does_not_use(loaded: dict[str, set[str]], process: str) -> None:
    assert ENTRIES[process] in loaded[process]
    assert loaded[process].isdisjoint(UNUSED)


def test_a_worker_loads_neither_the_http_library_nor_the_bus(loaded: dict[str, set[str]]) -> None:
    assert loaded["worker"].isdisjoint({"aiohttp", "nats", "redis", "prometheus_client"})


def test_the_supervisor_of_the_stack_loads_no_models_of_the_api(loaded: dict[str, set[str]]) -> None:
    modules = loaded["up"]
    assert not [name for name in modules if name.startswith(("headrace.sdk", "headrace.common.contracts.http"))]
