"""Stack of a run, like production on one host, and the services that it serves.

Two managers, two agents with two simulated GPUs each, an app-proxy with two workers, an autoscaler, and one of each
store; every link between a service and a store goes through a relay.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from headrace.embedded.state import StackState
from tests.chaos.stack.processes import naming, send, tree
from tests.chaos.stack.relays import Relay
from tests.support.api import Api
from tests.support.disk import SmallDisk, small_disk
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

LINKS = (
    "manager:nats",
    "manager:postgres",
    "manager-2:nats",
    "manager-2:postgres",
    "agent-1:nats",
    "agent-2:nats",
    "appproxy:nats",
    "appproxy:valkey",
    "autoscaler:nats",
    "autoscaler:valkey",
)
DISK_MB = 1000
MANAGERS = ("manager", "manager-2")
AGENTS = ("agent-1", "agent-2")

UNARY, STREAM, SOCKET, ELASTIC = "unary", "stream", "socket", "elastic"
SERVICES: dict[str, dict[str, Any]] = {
    UNARY: {"replicas": 3},
    STREAM: {"replicas": 2, "slots": {"cpu": "0.1", "mem": "256m", "cuda.device": "1"}},
    SOCKET: {"replicas": 2},
    ELASTIC: {"replicas": 1},
}
RULED = frozenset({ELASTIC})
_DEFINITION = """
models:
  - name: chaos
    model_path: /models
    service:
      start_command: [python, /models/replica.py, --port, "8000"]
      port: 8000
      health_check: {path: /health, initial_delay: 0.2, interval: 1, max_wait_time: 2, max_retries: 3}
"""
_REPLICA = Path(__file__).with_name("replica.py")


class Fleet:
    """Running stack."""

    def __init__(
        self, stack: Stack, relays: dict[str, Relay], disk: SmallDisk | None, journal: Path, second: int
    ) -> None:
        self.stack, self.relays, self.disk, self.journal = stack, relays, disk, journal
        self.tokens: dict[str, str] = {}
        self.project_token = ""
        self.turn = 0
        self._second_url = f"http://127.0.0.1:{second}"
        self._apis: list[Api] = []

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.stack.data

    @property
    def proxy_port(self) -> int:
        """Port of the app-proxy."""
        return int(self.stack.proxy.rpartition(":")[2])

    def state(self) -> StackState:
        """State file of the stack."""
        found = self.stack.state
        assert found is not None, "the stack has ended"
        return found

    def admin_port(self, name: str) -> int:
        """Return the admin port of the app-proxy, an agent or the autoscaler."""
        ports = json.loads((self.data / "ports.json").read_text())
        return int(ports[f"{name}.admin"])

    def ready_urls(self) -> dict[str, str]:
        """Return the readiness URL of each service."""
        ports = {name: self.admin_port(name) for name in ("appproxy", "autoscaler", *AGENTS)}
        urls = {name: f"http://127.0.0.1:{port}/readyz" for name, port in ports.items()}
        return {"manager": f"{self.stack.api.url}/readyz", "manager-2": f"{self._second_url}/readyz", **urls}

    def pid(self, name: str) -> int | None:
        """Return the process id of a part; None between its end and its restart."""
        return self.stack.pid(name)

    def workers(self) -> list[int]:
        """Return the app-proxy's worker processes."""
        parent = self.pid("appproxy")
        return tree(parent)[1:] if parent is not None else []

    async def ask(self, method: str, path: str, body: object = None, *, done: int = 0, within_s: float = 60) -> Any:
        """Call one manager, or the other when that fails, until it succeeds. Only for idempotent calls.

        `done`: a status by which an earlier attempt succeeded, whose answer was lost.
        """

        async def tried() -> tuple[Any] | None:
            for api in self._apis:
                with suppress(httpx.HTTPError):
                    answer = await api.http.request(method, path, json=body, timeout=10)
                    if answer.is_success or answer.status_code == done:
                        return (answer.json() if answer.content else None,)
                    told.append(f"{answer.status_code} {answer.text[:500]}")
            return None

        told: list[str] = []
        try:
            found = await eventually(tried, within_s=within_s, every_s=0.3)
        except AssertionError as error:
            raise AssertionError(f"{method} {path}: not within {within_s} s; the last answer: {told[-1:]}") from error
        return found[0]

    async def begin(self) -> None:
        """Connect, and create the services."""
        self._apis = [self.stack.api, Api(self._second_url, self.stack.api.key)]
        api = self.stack.api
        await api.folder("chaos", {"model-definition.yaml": _DEFINITION, "replica.py": _REPLICA.read_bytes()})
        for name, more in SERVICES.items():
            await api.call("POST", "/v1/services", self.created(name, **more))
        for step, comparator, threshold in ((1, "GREATER_THAN", 3), (-1, "LESS_THAN", 1)):
            rule = {
                "source": "inference-framework",
                "metric": "chaos_open",
                "comparator": comparator,
                "threshold": threshold,
                "step": step,
                "min_replicas": 1,
                "max_replicas": 3,
                "cooldown_s": 5,
            }
            await api.call("POST", f"/v1/services/{ELASTIC}/rules", rule)
        for name in SERVICES:
            self.tokens[name] = (await api.token(name))["token"]
            await api.until_healthy(name, within_s=120)
        made = await api.call("POST", "/v1/projects/default/tokens", {})
        self.project_token = made["token"]

    def created(self, name: str, **more: Any) -> dict[str, Any]:
        """Return the body that creates a service."""
        limits = {"queue_timeout_s": 60.0, "first_byte_timeout_s": 30.0, "idle_timeout_s": 30.0}
        return {
            "name": name,
            "project": "default",
            "drain_grace_s": 20,
            "limits": limits,
            "models": [f"model-{name}"],
            **self.spec(**more),
        }

    def spec(self, **more: Any) -> dict[str, Any]:
        """Return the body of a revision."""
        environ = {"CHAOS_JOURNAL": str(self.journal), "CHAOS_TURN": str(self.turn)}
        return {"folder": "chaos", "slots": {"cpu": "0.1", "mem": "256m"}, "environ": environ, **more}

    async def start_again(self) -> None:
        """Restart the stack on the same data, after it was killed."""
        await self.stack.start()
        self._apis[0] = self.stack.api

    async def end(self) -> int:
        """Stop the stack; return its exit code. Leftovers are for `clean`."""
        for relay in self.relays.values():
            await relay.open()
        for api in self._apis[1:]:
            await api.close()
        return await self.stack.stop()

    def clean(self) -> list[str]:
        """Kill leftovers of the stack, and return what they were."""
        left = naming(self.data)
        send([one.pid for one in left], signal.SIGCONT)
        send([one.pid for one in left], signal.SIGKILL)
        return [f"{one.pid}: {' '.join(one.words)[:200]}" for one in left]


@asynccontextmanager
async def running(folder: Path, *, small: bool) -> AsyncIterator[Fleet]:
    """Run a stack in `folder`, its data on a small disk of its own if `small`; stopped however the block ends."""
    async with AsyncExitStack() as opened:
        disk = opened.enter_context(small_disk(folder / "disk", DISK_MB)) if small else None
        data = (disk.path if disk else folder) / "data"
        second = free_port()
        relays: dict[str, Relay] = {}
        ports = {name: free_port() for name in LINKS}
        told = {"second_manager": second, "relays": ports}
        stack = Stack(
            data,
            runtime="process",
            python_image=None,
            agents=2,
            gpus=2,
            command=(sys.executable, "-m", "tests.chaos.stack.up"),
            environ={"CHAOS_UP": json.dumps(told)},
        )
        stack.log = folder / "up.log"
        for name in LINKS:
            relays[name] = Relay(name, ports[name], _port_of(stack, name.partition(":")[2]))
            await relays[name].open()
            opened.push_async_callback(relays[name].close)
        fleet = Fleet(stack, relays, disk, folder / "journal", second)
        if disk is not None:  # which is gone after the run
            opened.callback(shutil.copytree, data / "logs", folder / "logs", dirs_exist_ok=True)
        opened.callback(fleet.clean)
        await stack.start()
        yield fleet


def _port_of(stack: Stack, store: str) -> Callable[[], int | None]:
    def port() -> int | None:
        state = stack.state
        return next((one.port for one in state.processes if one.name == store), None) if state else None

    return port
