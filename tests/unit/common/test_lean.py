"""What the processes of an installation load: nothing that is large and that no service uses, also where it is installed."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

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
OPERATORS = ssl.get_default_verify_paths().openssl_cafile
"""Authorities that an operator names."""
UNUSED = {"rich", "pygments", "pynvml", "opentelemetry.sdk.metrics"}
LOADED = """
import json, os, ssl, sys
from headrace.common.runtime.lean import load_lean
from headrace.common.runtime.lean_http import load_http
authorities = []
def counted(context, read=ssl.SSLContext.set_default_verify_paths):
    read(context)
    authorities.append(len(context.get_ca_certs()))
ssl.SSLContext.set_default_verify_paths = counted
load_lean()
found = {}
for process, module in json.loads(sys.argv[1]).items():
    if process == "appproxy":
        load_http()
    __import__(module)
    found[process] = [name for name, module in sys.modules.items() if module is not None]
print(json.dumps([found, authorities, os.environ["SSL_CERT_FILE"]]))
"""


@dataclass(frozen=True)
class Loaded:
    """What a process has that imported everything, one entry after another."""

    modules: dict[str, set[str]]
    """After each entry."""
    authorities: list[int]
    """How many of the system's certificate authorities each TLS context has that was made on import."""
    authorities_from: str


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    """A process that starts as a service does and imports what each process does."""
    command = [sys.executable, "-c", LOADED, json.dumps(ENTRIES)]
    environ = {**os.environ, "SSL_CERT_FILE": OPERATORS}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environ)
    modules, authorities, authorities_from = json.loads(ran.stdout)
    return Loaded({name: set(found) for name, found in modules.items()}, authorities, authorities_from)


@pytest.mark.parametrize("process", ENTRIES)
def test_a_process_loads_nothing_large_that_it_does_not_use(loaded: Loaded, process: str) -> None:
    assert ENTRIES[process] in loaded.modules[process]
    assert loaded.modules[process].isdisjoint(UNUSED)


def test_a_worker_loads_neither_the_http_library_nor_the_bus(loaded: Loaded) -> None:
    assert loaded.modules["worker"].isdisjoint({"aiohttp", "nats", "redis", "prometheus_client"})


def test_the_supervisor_of_the_stack_loads_no_models_of_the_api(loaded: Loaded) -> None:
    modules = loaded.modules["up"]
    assert not [name for name in modules if name.startswith(("headrace.sdk", "headrace.common.contracts.http"))]


def test_the_http_library_reads_no_authorities_on_import_and_later_ones_are_the_operator_s(loaded: Loaded) -> None:
    assert loaded.authorities
    assert set(loaded.authorities) == {0}
    assert loaded.authorities_from == OPERATORS


@pytest.mark.parametrize("service", ["agent", "appproxy", "autoscaler", "manager"])
def test_a_service_imports_the_http_library_so_first_of_all(service: str) -> None:
    spec = find_spec(f"headrace.{service}.__main__")
    assert spec is not None
    assert spec.origin is not None
    assert "    load_lean()\n    load_http()\n    from headrace." in Path(spec.origin).read_text()
