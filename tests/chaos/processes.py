"""Child processes of a run: replicas that can be killed, and an app-proxy whose memory and open files are measured."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.proxy.processes import Running, start
from tests.support.bus_servers import BusServers
from tests.support.ports import free_port
from tests.support.wait import eventually


class EngineProcess:
    """Replica (tests.chaos.engine) in a process of its own."""

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        self.port = port
        self._process = process

    @classmethod
    async def start(cls) -> EngineProcess:
        """Start one, and return it once it listens."""
        port = free_port()
        # A run that is killed takes its replicas with it.
        words = ("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.chaos.engine", "--port", str(port))
        made = cls(port, await asyncio.create_subprocess_exec(*words))
        await eventually(made._listens, every_s=0.05)
        return made

    async def _listens(self) -> bool:
        assert self._process.returncode is None, f"the replica ended with {self._process.returncode}"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    async def stop(self) -> None:
        """End it, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@dataclass(frozen=True)
class ProxyProcess:
    """Running app-proxy."""

    port: int
    admin: str
    running: Running

    def rss_mb(self) -> float:
        """Resident memory of all its processes."""
        return round(self.running.rss_mb(), 1)

    def files(self) -> int:
        """Open files and sockets of all its processes."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.running.tree)  # noqa: PTH208 - only their number

    async def metrics(self) -> str:
        """Return its /metrics page."""
        async with httpx.AsyncClient(verify=False, timeout=30) as http:
            return (await http.get(f"{self.admin}/metrics")).text

    async def ready(self) -> bool:
        """Return whether it is up and connected to the bus."""
        assert self.running.process.poll() is None, self.running.last_words()
        try:
            async with httpx.AsyncClient(verify=False, timeout=5) as http:
                answer = await http.get(f"{self.admin}/metrics")
        except httpx.TransportError:
            return False
        return "headrace_proxy_bus_connected 1.0" in answer.text


@contextmanager
def app_proxy(servers: BusServers, folder: Path, *, workers: int) -> Iterator[ProxyProcess]:
    """Run `python -m headrace.appproxy` on the bus of `servers`."""
    user, password = servers.nats_user("appproxy")
    port, admin = free_port(), free_port()
    settings = {
        "ID": "proxy-1",
        "NATS_URL": servers.nats_url,
        "NATS_USER": user,
        "NATS_PASSWORD": password,
        "WORKERS": workers,
        "LISTEN_HOST": "127.0.0.1",
        "LISTEN_PORT": port,
        "ADMIN_PORT": admin,
        "DATA_DIR": folder / "data",
        "LOG_FORMAT": "json",
    }
    running = start(
        "appproxy",
        (sys.executable, "-m", "headrace.appproxy"),
        on=sorted(os.sched_getaffinity(0)),
        folder=folder,
        environment={f"HEADRACE_APPPROXY_{name}": str(value) for name, value in settings.items()},
    )
    try:
        yield ProxyProcess(port, f"http://127.0.0.1:{admin}", running)
    finally:
        running.stop()
