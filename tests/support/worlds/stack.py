"""Complete stack of one user: `headrace up` as a child process, called through its public API."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from headrace.embedded.state import StackState, read_state
from tests.support.api import Api
from tests.support.ports import free_port
from tests.support.wait import eventually

ENGINE_DEFINITION = """
models:
  - name: engine
    model_path: /models
    service:
      start_command: [python, -m, headrace.engine, --port, "8000", --model-name, chat]
      port: 8000
      health_check: {path: /health, initial_delay: 0.2, interval: 0.5, max_wait_time: 2, max_retries: 60}
"""

COMMAND = (sys.executable, "-m", "headrace.cli", "up")


class Stack:
    """Running stack. `runtime`: that of its kernels; `python_image`: their image on Docker."""

    def __init__(
        self,
        data: Path,
        *,
        runtime: str,
        python_image: str | None,
        agents: int = 1,
        gpus: int = 0,
        command: Sequence[str] = COMMAND,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self._command, self._environ = command, environ or {}
        self.runtime = runtime
        self.python_image = python_image
        ports = ["--port", str(free_port()), "--proxy-port", str(free_port())]
        self._options = [*ports, "--runtime", runtime, "--agents", str(agents), "--simulate-gpus", str(gpus)]
        self._process: subprocess.Popen[bytes] | None = None
        self.log = data.with_suffix(".log")
        self.api: Api = Api("http://127.0.0.1:9", "")
        self.proxy = ""

    async def start(self) -> None:
        """Start it on free ports and wait until it is ready. AssertionError with the end of the log otherwise."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "--data", str(self.data), *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Not in the developer's own home: their `headrace` would find this stack.
                env={
                    **os.environ,
                    "NO_COLOR": "1",
                    "XDG_STATE_HOME": str(self.data.with_name("state")),
                    **self._environ,
                },
            )

        def running() -> bool:
            assert self._process is not None
            if self._process.poll() is not None:
                raise RuntimeError(f"ended with {self._process.returncode}\n{self.log.read_text()[-4000:]}")
            state = self.state
            return state is not None and state.phase == "running"

        await eventually(running, within_s=150)
        state = self.state
        assert state is not None
        self.proxy = state.proxy_url
        self.api = Api(state.api_url, state.admin_key_file.read_text().strip())

    async def killed(self) -> None:
        """Kill its supervisor by SIGKILL and wait for that; the rest ends by itself, or is adopted by the next start."""
        assert self._process is not None
        await self.api.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait, 30)

    async def stop(self) -> int:
        """Stop it like Ctrl-C and return the exit code."""
        assert self._process is not None
        await self.api.close()
        self._process.send_signal(signal.SIGINT)
        return await asyncio.to_thread(self._process.wait, 90)

    @property
    def state(self) -> StackState | None:
        """State file of the stack."""
        return read_state(self.data)

    def pid(self, name: str) -> int | None:
        """Return the process id of a part (`manager`, `agent-1`, `nats`, …); None between its end and its restart."""
        state = self.state
        return next((p.pid for p in state.processes if p.name == name), None) if state else None

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a part."""
        pid = self.pid(name)
        assert pid is not None
        os.kill(pid, number)

    async def manager_answers(self) -> bool:
        """Return whether the API is ready."""
        try:
            return (await self.api.http.get("/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    def spec(self, name: str, **more: Any) -> dict[str, Any]:
        """Return the body of a create for a small service of this name."""
        image = {"image": self.python_image} if self.runtime == "docker" else {}
        cpu = "0.5" if self.runtime == "docker" else "0.1"  # a container may not use more, and its start is work
        defaults = {"replicas": 1, "project": "default", "slots": {"cpu": cpu, "mem": "512m"}, "drain_grace_s": 20}
        return {"name": name, **defaults, **image, **{key: value for key, value in more.items() if value is not None}}

    def engine_spec(self, name: str, **more: Any) -> dict[str, Any]:
        """Return the revision of an engine service's body, for updates."""
        dropped = {"name", "replicas", "project", "drain_grace_s"}
        return {key: value for key, value in self.spec(name, folder="engine", **more).items() if key not in dropped}

    async def engine_service(self, name: str, *, replicas: int, **more: Any) -> Any:
        """Create a service of simulated engines."""
        if (await self.api.http.get("/v1/folders/engine")).status_code == 404:
            await self.api.folder("engine", {"model-definition.yaml": ENGINE_DEFINITION})
        return await self.api.call("POST", "/v1/services", self.spec(name, folder="engine", replicas=replicas, **more))

    def _replicas(self, name: str) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.api.key}"}
        answer = httpx.get(f"{self.api.url}/v1/services/{name}", headers=headers, timeout=60, verify=False)
        return list(answer.json()["replica_list"]) if answer.status_code == 200 else []

    def replica_identities(self, name: str) -> dict[str, str]:
        """Return replica id → identity of its instance: process id with start time, or container id."""
        if self.runtime == "docker":
            text = _docker("ps", "--format", "{{json .}}", "--filter", "label=headrace.session")
            rows = [json.loads(line) for line in text.splitlines()]
            wanted = {r["id"] for r in self._replicas(name)}
            found = {
                dict(pair.split("=", 1) for pair in row["Labels"].split(","))["headrace.session"]: row["ID"]
                for row in rows
            }
            return {session: identity for session, identity in found.items() if session in wanted}
        return {r["id"]: str(pid) for r in self._replicas(name) if r["address"] and (pid := _listener(r["address"]))}

    async def kill_a_replica(self, name: str) -> str:
        """Kill the program of one replica; return the replica's id."""
        session, identity = next(iter(self.replica_identities(name).items()))
        if self.runtime == "docker":
            await asyncio.to_thread(_docker, "kill", "--signal", "KILL", identity)
        else:
            os.kill(int(identity), signal.SIGKILL)
        return session


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=60).stdout


def _listener(address: str) -> int | None:
    """Return the process that listens on this address' port."""
    port = address.rsplit(":", 1)[1]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if port.encode() in words and b"sh" not in Path(os.fsdecode(words[0])).name.encode():
                return int(entry.name)
    return None
