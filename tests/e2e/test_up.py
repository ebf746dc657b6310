"""`headrace up`, `status`, `login`, `migrate` and `down` as one person uses them on one machine, in a home of its own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.embedded.private import lock_holder
from tests.support.ports import free_port
from tests.support.wait import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


class Person:
    """Somebody with an own home, who runs `headrace`."""

    def __init__(self, home: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "HEADRACE_"))}
        self.environ = {**kept, "HOME": str(home)}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "headrace.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environ,
        )

    def runs(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "headrace.cli", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=self.environ,
        )

    def gets(self, *words: str) -> Any:
        ran = self.runs(*words, "--json")
        assert ran.returncode == 0, ran.stderr + ran.stdout
        return json.loads(ran.stdout)


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    somebody = Person(tmp_path)
    yield somebody
    somebody.runs("down", "--timeout", "30")


def until_ready(up: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the stack's description from the JSON lines of `up`; later lines are a few, which fit into the pipe."""
    assert up.stdout is not None
    for line in up.stdout:
        said = json.loads(line)
        assert "exit_code" not in said, said
        if "stack" in said:
            return dict(said["stack"])
    raise AssertionError(f"ended with {up.wait()}")


def ended(up: subprocess.Popen[str]) -> int:
    up.communicate(timeout=10)  # closes the pipe too
    return up.returncode


def test_from_up_to_down(person: Person, tmp_path: Path) -> None:
    nothing = person.runs("status")
    assert nothing.returncode == 4, "no server is named, and none runs here"
    assert "headrace up" in nothing.stdout
    assert person.runs("down").returncode == 3

    port = free_port()
    up = person.start(
        "up", "--json", "--port", str(port), "--proxy-port", str(free_port()), "--agents", "2", "--simulate-gpus", "3"
    )
    stack = until_ready(up)
    assert stack["api_url"] == f"http://127.0.0.1:{port}"
    assert Path(stack["data"]) == tmp_path / ".local/share/headrace"

    status = person.gets("status")
    assert status["status"] == "up"
    assert {p["name"] for p in status["stack"]["processes"]} == {
        "postgres",
        "nats",
        "valkey",
        "manager",
        "agent-1",
        "agent-2",
        "appproxy",
        "autoscaler",
    }
    assert [a["slots"]["cuda.device"] for a in person.gets("agent", "ls")] == ["3", "3"]
    assert person.gets("whoami")["user"]["operator"] is True  # no login needed on this machine

    login = person.runs("login")
    assert login.returncode == 0, login.stderr
    assert Path(stack["admin_key_file"]).read_text().strip() not in login.stdout + login.stderr

    again = person.runs("up")
    assert again.returncode == 1
    assert "already in use by process" in again.stderr
    assert "Traceback" not in again.stderr

    down = person.runs("down")
    assert (down.returncode, ended(up)) == (0, 0)
    assert "stopped; the data stays" in down.stdout
    assert person.runs("status").returncode == 3
    assert person.runs("whoami").returncode == 3  # logged in to what does not run


def test_a_port_that_was_asked_for_and_is_taken_is_refused(person: Person) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = person.runs("up", "--port", str(port), "--proxy-port", str(free_port()))
        assert ran.returncode == 1
        assert f"port {port} on 127.0.0.1 is taken, so the API cannot listen there" in ran.stderr


def test_migrating_twice_applies_nothing_the_second_time(person: Person, database_url: str) -> None:
    assert person.gets("migrate", "--database-url", database_url) == {"applied": []}


def test_a_database_that_is_not_there_cannot_be_reached(person: Person) -> None:
    ran = person.runs("migrate", "--database-url", f"postgresql://nobody:secret@127.0.0.1:{free_port()}/none")
    assert ran.returncode == 3
    assert "secret" not in ran.stdout + ran.stderr


def test_detached_it_is_there_when_the_command_returns_and_stays(person: Person) -> None:
    up = person.runs("up", "--detach")
    assert up.returncode == 0, up.stderr
    assert "Headrace is running." in up.stdout
    assert person.gets("status")["status"] == "up"
    again = person.runs("up", "--detach")
    assert again.returncode == 1
    assert "already in use by process" in again.stderr
    assert person.runs("down").returncode == 0


async def test_commands_wait_for_a_stack_that_starts(person: Person, tmp_path: Path) -> None:
    ports = ("--port", str(free_port()), "--proxy-port", str(free_port()))
    up = person.start("up", "--detach", *ports)
    await eventually(lambda: lock_holder(tmp_path / ".local/share/headrace") is not None)
    asked = await asyncio.to_thread(person.runs, "whoami")
    assert asked.returncode == 0, asked.stderr
    assert "waiting for the stack" in asked.stderr
    said, _ = await asyncio.to_thread(up.communicate, timeout=60)
    assert (up.returncode, "Headrace is running." in said) == (0, True), said
    again = person.runs("up", "--detach", *ports)
    assert again.returncode == 1
    assert "already in use by process" in again.stderr
    assert person.runs("down").returncode == 0
