"""The supervisor with real servers and fakes of the services."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace.embedded.ports import HOST
from headrace.embedded.proc import ProcessId
from headrace.embedded.state import Phase, ProcessState, StackState
from headrace.embedded.supervisor import StopResult, read_state, stop
from tests.support.ports import free_port
from tests.support.wait import until
from tests.support.worlds.processes import line, living, python

MAIN = "import sys; from tests.support.fakes.supervisor import main; sys.exit(main(*sys.argv[1:]))"
ALL = ["postgres", "nats", "valkey", "manager", "agent-1", "agent-2", "appproxy", "autoscaler"]


class Up:
    """A running supervisor, read line by line."""

    def __init__(self, process: subprocess.Popen[str], data: Path) -> None:
        self.process, self.data = process, data
        self.lines: list[str] = []

    def until_says(self, beginning: str) -> str:
        """Return the next line that begins so; AssertionError with all lines at the end of the output."""
        while said := line(self.process):
            self.lines.append(said)
            if said.startswith(beginning):
                return said
        raise AssertionError(f"never said {beginning!r}:\n" + "\n".join(self.lines))

    @property
    def state(self) -> StackState:
        state = read_state(self.data)
        assert state is not None
        return state

    def of(self, name: str) -> ProcessState:
        return next(p for p in self.state.processes if p.name == name)

    def pid(self, name: str) -> int:
        pid = self.of(name).pid
        assert pid is not None
        return pid

    def log(self, name: str) -> str:
        log = self.data / "logs" / f"{name}.log"
        return log.read_text() if log.exists() else ""


@contextmanager
def up(data: Path, *modes: str, ports: tuple[int, int] | None = None) -> Iterator[Up]:
    api, proxy = ports or (free_port(), free_port())
    with python(MAIN, str(data), str(api), str(proxy), *modes) as process:
        yield Up(process, data)


@pytest.fixture
def kernels() -> Iterator[list[int]]:
    """Pids of kernels that a test's fakes started, killed at its end whatever it proves."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def kernel_of(stack: Up, agent: str, kernels: list[int]) -> int:
    found = re.findall(r"kernel (\d+)", stack.log(agent))
    kernels += map(int, found)
    return int(found[-1])


def alive(pid: int) -> bool:
    return ProcessId.of(pid) is not None


def test_it_starts_in_order_describes_itself_and_stops_in_order(data: Path) -> None:
    ports = free_port(), free_port()
    with up(data, "manager=ready-after,0.5", ports=ports) as stack:
        stack.until_says("ready:")
        assert stack.lines.index("service: manager is ready") < stack.lines.index(
            "service: starting agent-1, agent-2, appproxy, autoscaler"
        )
        state = stack.state
        assert (state.phase, state.pid, state.agents) == (Phase.RUNNING, stack.process.pid, 2)
        assert state.api_url == f"http://127.0.0.1:{ports[0]}"
        assert state.proxy_url == f"http://127.0.0.1:{ports[1]}"
        assert [p.name for p in state.processes] == ALL
        assert all(p.pid and alive(p.pid) and p.log.exists() for p in state.processes)
        file = data / "state.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not set(re.findall(r"p[0-9a-f]{40}|[0-9a-f]{64}", (data / "secrets.json").read_text())) & set(
            re.findall(r"\w+", file.read_text())
        )

        os.kill(stack.process.pid, signal.SIGINT)
        stack.until_says("stopped:")
        assert stack.process.wait() == 0
    assert read_state(data) is None
    assert living(data) == {}
    ended = {name: int(re.findall(r"ended at (\d+)", stack.log(name))[0]) for name in ALL[3:]}
    told = {name: int(re.findall(r"SIGTERM at (\d+)", stack.log(name))[0]) for name in ALL[3:]}
    assert max(ended["appproxy"], ended["autoscaler"]) < min(told["agent-1"], told["agent-2"])
    assert max(ended["agent-1"], ended["agent-2"]) < told["manager"]
    assert "database system is shut down" in stack.log("postgres")
    assert "terminating connection" not in stack.log("postgres")


def test_ctrl_c_in_a_terminal_does_not_reach_the_children(data: Path) -> None:
    """A terminal signals the whole foreground process group; the order of the stop must stay the supervisor's."""
    with up(data) as stack:
        stack.until_says("ready:")
        for process in stack.state.processes:
            assert process.pid is not None
            assert os.getpgid(process.pid) != os.getpgid(stack.process.pid)


def test_a_closed_terminal_ends_the_stack_in_order(data: Path) -> None:
    with up(data) as stack:
        stack.until_says("ready:")
        assert stack.process.stdout is not None
        stack.process.stdout.close()
        stack.process.send_signal(signal.SIGHUP)
        stack.process.wait(60)
        assert "SIGTERM" in stack.log("manager")
        assert read_state(data) is None


def test_a_dead_service_is_started_again(data: Path) -> None:
    with up(data) as stack:
        stack.until_says("ready:")
        old = stack.pid("autoscaler")
        os.kill(old, signal.SIGKILL)
        stack.until_says("ended: autoscaler")
        stack.until_says("restarted: autoscaler")
        assert stack.pid("autoscaler") != old
        assert stack.of("autoscaler").restarts == 1
        os.kill(stack.pid("valkey"), signal.SIGKILL)
        stack.until_says("restarted: valkey")
        assert stop(data, timeout_s=30) is StopResult.STOPPED
        assert stack.process.wait() == 0


def test_kernels_outlive_a_killed_agent_and_end_with_the_stack(data: Path, kernels: list[int]) -> None:
    with up(data, "agent-1=kernel") as stack:
        stack.until_says("ready:")
        first = kernel_of(stack, "agent-1", kernels)
        os.kill(stack.pid("agent-1"), signal.SIGKILL)
        stack.until_says("restarted: agent-1")
        assert alive(first)
        until(lambda: stack.log("agent-1").count("kernel") == 2, "the new agent started")
        second = kernel_of(stack, "agent-1", kernels)
        stack.process.send_signal(signal.SIGTERM)
        stack.until_says("stopped:")
        assert not alive(second)  # an agent that adopts would have ended the first as well


def test_kill_9_of_the_supervisor_leaves_neither_child_nor_kernel(data: Path, kernels: list[int]) -> None:
    with up(data, "agent-2=kernel") as stack:
        stack.until_says("ready:")
        kernel = kernel_of(stack, "agent-2", kernels)
        stack.process.kill()
        stack.process.wait()
        until(lambda: living(data) == {} and not alive(kernel), "children and kernel gone")
        until(lambda: "SIGTERM" in stack.log("manager"), "services were asked, not killed")
    assert read_state(data) is None
    assert stop(data) is StopResult.NOT_RUNNING
    with up(data) as again:
        again.until_says("ready:")
        assert stop(data, timeout_s=30) is StopResult.STOPPED


def test_a_service_that_cannot_start_is_named_with_its_last_words(data: Path) -> None:
    with up(data, "appproxy=crash") as stack:
        said = stack.until_says("failed:")
        assert "appproxy ended with exit code 3 before it was ready; its log is" in said
        assert "appproxy: the configuration is wrong" in said
        assert stack.process.wait() == 1
    assert living(data) == {}
    assert read_state(data) is None


def test_it_can_be_stopped_while_it_starts(data: Path) -> None:
    with up(data, "manager=ready-after,3000") as stack:
        stack.until_says("service: starting manager")
        until(lambda: "started" in stack.log("manager"), "manager started")
        assert stack.state.phase is Phase.STARTING
        assert stop(data, timeout_s=30) is StopResult.STOPPED
        stack.until_says("stopped:")
        assert stack.process.wait() == 0
    assert living(data) == {}


def test_a_port_that_was_asked_for_and_is_taken_is_refused(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        wanted = taken.getsockname()[1]
        with up(data, ports=(free_port(), wanted)) as stack:
            said = stack.until_says("failed:")
            assert f"port {wanted} on 127.0.0.1 is taken, so the app-proxy cannot listen there" in said
            assert stack.process.wait() == 1
    assert living(data) == {}


@pytest.mark.parametrize("asked", [True, False])
def test_a_port_that_somebody_takes_before_the_service_listens(data: Path, tmp_path: Path, *, asked: bool) -> None:
    said = tmp_path / "port"
    wanted = free_port() if asked else 0
    with up(data, f"appproxy=bind-or-end,{said}", ports=(free_port(), wanted)) as stack, socket.socket() as taken:
        until(lambda: said.exists() and said.read_text().isdigit(), "the app-proxy is about to listen")
        port = int(said.read_text())
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((HOST, port))
        taken.listen()
        said.write_text("taken")
        if asked:
            assert f"port {port} on 127.0.0.1 is taken" in stack.until_says("failed:")
            assert stack.process.wait() == 1
        else:
            assert f"somebody took port {port} meanwhile" in stack.until_says("port: somebody")
            stack.until_says("ready:")
            other = int(stack.state.proxy_url.rpartition(":")[2])
            assert other != port
            socket.create_connection((HOST, other)).close()
            assert all(p.pid and alive(p.pid) for p in stack.state.processes)
            assert stop(data, timeout_s=30) is StopResult.STOPPED
    assert living(data) == {}


def test_a_second_up_is_refused_and_the_first_goes_on(data: Path) -> None:
    with up(data) as first:
        first.until_says("ready:")
        with up(data) as second:
            assert f"already in use by process {first.process.pid}" in second.until_says("failed:")
            assert second.process.wait() == 1
        assert first.state.phase is Phase.RUNNING
        assert first.process.poll() is None


def test_a_supervisor_that_does_not_stop_is_killed(data: Path) -> None:
    with up(data) as stack:
        stack.until_says("ready:")
        stack.process.send_signal(signal.SIGSTOP)
        assert stop(data, timeout_s=0.2) is StopResult.KILLED
    assert living(data) == {}


def test_stopping_what_does_not_run_is_no_error(data: Path) -> None:
    assert stop(data) is StopResult.NOT_RUNNING
