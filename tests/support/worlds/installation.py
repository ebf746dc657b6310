"""Servers and services on the files that `headrace init` makes, as an operator starts them on one machine."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from headrace.embedded.binaries import nats_server, valkey_server
from headrace.install.make import make
from headrace.install.plan import Choices, Layout
from tests.support.ports import free_port
from tests.support.wait import until

T = TypeVar("T")


@dataclass
class Ports:
    """Free ports of one installation."""

    api: int = field(default_factory=free_port)
    proxy: int = field(default_factory=free_port)
    database: int = field(default_factory=free_port)
    nats: int = field(default_factory=free_port)
    redis: int = field(default_factory=free_port)


def on_this_machine(ports: Ports, data: Path, *agents: str) -> Choices:
    """Return the options of an installation whose parts all run here."""
    return Choices(
        url=f"https://127.0.0.1:{ports.api}",
        proxy_url=f"http://127.0.0.1:{ports.proxy}",
        layout=Layout.HOST,
        database=f"127.0.0.1:{ports.database}",
        nats=f"127.0.0.1:{ports.nats}",
        redis=f"127.0.0.1:{ports.redis}",
        data=data,
        agents=[f"{agent}=127.0.0.1" for agent in agents],
    )


def installed(folder: Path, choices: Choices) -> Path:
    """Make an installation's files in `folder` now, and return it."""
    return make(folder, choices, datetime.now(UTC)).folder


@contextmanager
def running(*command: str, log: Path, environ: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with its output in `log`; stopped at the end, by force if it takes long."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def nats_running(folder: Path, data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run NATS with the configuration of the installation in `folder`; ready when it says so."""
    data.mkdir(parents=True, exist_ok=True)
    log = data / "nats.log"
    log.unlink(missing_ok=True)
    with running(str(nats_server()), "-c", str(folder / "nats/nats.conf"), log=log) as process:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            return "Server is ready" in log.read_text()

        until(ready, "NATS is ready", within_s=60)
        yield process


@contextmanager
def valkey_running(folder: Path, data: Path, port: int) -> Iterator[None]:
    """Run Valkey on a plain port with the configuration of the installation in `folder`, but for TLS, which its wheel lacks."""
    lines = (folder / "redis/redis.conf").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("tls-")]
    assert "port 0" in kept
    config = data / "valkey.conf"
    (data / "redis").mkdir(parents=True, exist_ok=True)
    config.write_text("\n".join(kept).replace("port 0", f"port {port}") + "\n")
    log = data / "valkey.log"
    with running(str(valkey_server()), str(config), log=log) as process:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            return "Ready to accept connections" in log.read_text()

        until(ready, "Valkey is ready", within_s=60)
        yield


@asynccontextmanager
async def left_in_a_thread(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter this context, and leave it in a thread: services that stop want answers of what runs on this event loop."""
    with ExitStack() as stack:
        entered = stack.enter_context(context)
        try:
            yield entered
        finally:
            await asyncio.to_thread(stack.close)


def certificate(folder: Path, server: str) -> ssl.SSLContext:
    """Return the TLS context of a server of the installation."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"tls/{server}.crt", folder / f"tls/{server}.key")
    return context


@contextmanager
def services_running(folder: Path, logs: Path) -> Iterator[list[str]]:
    """Run the four services with their settings of the installation in `folder`; yields the URLs of their readiness but the manager's.

    Only the ports of their pages, and the simulated GPUs, are not the installation's.
    """
    settings = {
        "manager": ("manager", {}),
        "agent-1": ("agent", {"RUNTIME": "process", "SIMULATED_GPUS": "4", "STOP_KERNELS_ON_EXIT": "true"}),
        "proxy-1": ("appproxy", {}),
        "autoscaler": ("autoscaler", {}),
    }
    logs.mkdir(parents=True, exist_ok=True)
    urls = []
    with ExitStack() as stack:
        for name, (service, own) in settings.items():
            prefix = f"HEADRACE_{service.upper()}"
            pages = {}
            if service != "manager":
                pages["ADMIN_PORT"] = str(free_port())
                urls.append(f"http://127.0.0.1:{pages['ADMIN_PORT']}/readyz")
            environ = {f"{prefix}_{key}": value for key, value in {**own, **pages}.items()}
            environ[f"{prefix}_CONFIG"] = str(folder / f"settings/{name}.toml")
            stack.enter_context(
                running(sys.executable, "-m", f"headrace.{service}", log=logs / f"{name}.log", environ=environ)
            )
        yield urls
