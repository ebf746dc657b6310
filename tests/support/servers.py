"""Model servers as child processes: started on a free port, probed until healthy, stopped at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.ports import free_port
from tests.support.wait import until


@dataclass
class ModelServer:
    """A running model server."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    http: httpx.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def health(self) -> int | None:
        """Return the status of /health; None while nobody listens."""
        try:
            return self.http.get("/health").status_code
        except httpx.TransportError:
            return None

    def wait_healthy(self, within_s: float = 60.0) -> None:
        """Return once /health answers 200. AssertionError with the log if the process ends or it takes too long."""

        def healthy() -> bool:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log.read_text()}"
            return self.health() == 200

        try:
            until(healthy, within_s=within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()}") from None

    def stop(self, number: int = signal.SIGTERM, within_s: float = 60.0) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(within_s)


@contextmanager
def model_server(
    command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, healthy: bool = True
) -> Iterator[ModelServer]:
    """Run `command` with this Python; `{port}` in it becomes a free port. Killed at the end if it still runs."""
    port = free_port()
    words = [word.replace("{port}", str(port)) for word in command]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, *words], stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}
        ) as process,
        httpx.Client(verify=False, base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        server = ModelServer(process, port, log, http)
        try:
            if healthy:
                server.wait_healthy()
            yield server
        finally:
            if process.poll() is None:
                process.kill()
