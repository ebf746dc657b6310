"""The agent on the process runtime, for real: processes, files, a bus."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from headrace.agent.domain.streams import MOST
from headrace.agent.runtime.process.proc import ProcessIds
from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import FolderId, new_uuid
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.messages.reports import NodeReport
from headrace.embedded.stack import EmbeddedServers
from tests.integration.agent.conftest import AgentUnderTest, agent_under_test, make_spec, row_of
from tests.support.ports import free_port
from tests.support.wait import eventually

SHELL = ("/bin/sh", "-c")
ENGINE = ("python", "-m", "headrace.engine", "--port", "8000")
QUICK = {"path": "/health", "interval": 0.2, "max_retries": 2, "max_wait_time": 1.0, "initial_delay": 0.1}


def ids_of(agent: AgentUnderTest, spec: KernelSpec) -> ProcessIds:
    found = ProcessIds.read(agent.data / "process" / "kernels" / str(spec.kernel_id) / "state.json")
    assert found is not None
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


async def test_a_planned_kernel_runs_answers_and_goes_with_the_plan(agent: AgentUnderTest) -> None:
    spec = make_spec(command=["python", "-m", "http.server", "--directory", "/home/work", "8000"])
    await agent.plan(spec)
    row = await agent.kernel(spec, state="running", health="healthy")
    assert httpx.get(f"http://{row.host}:{row.port}/", timeout=60, verify=False).status_code == 200
    assert row.created_at is not None
    assert row.reason.code == "port-open"
    ids = ids_of(agent, spec)
    await agent.plan()
    await agent.gone(spec)
    assert not is_running(ids.child)
    assert not is_running(ids.shim)
    assert not (agent.data / "process" / "kernels" / str(spec.kernel_id)).exists()


async def test_what_the_program_sees(agent: AgentUnderTest, folder: FolderId) -> None:
    script = (
        "pwd; echo HOME=$HOME PORT=$PORT HP=$HEADRACE_PORT MP=$MODEL_PATH MINE=$MINE GPU=$CUDA_VISIBLE_DEVICES;"
        " cat /models/weights.txt; echo; cat {model_path}/weights.txt; echo; env | grep -c PASSWORD; exec sleep 600"
    )
    spec = make_spec(
        command=(*SHELL, script),
        environ={"MINE": "/models/x", "PORT": "mine"},
        port=8000,
        mounts=[{"folder_id": folder, "target": "/models"}],
    )
    await agent.plan(spec)
    row = await agent.kernel(spec, state="running")

    async def whole() -> list[str]:
        lines = await agent.whole_log(spec)
        assert len(lines) == 5
        return lines

    lines = await eventually(whole)
    work = lines[0]
    assert work.endswith("/root/home/work")
    root = work.removesuffix("/home/work")
    assert lines[1] == f"HOME={work} PORT=mine HP={row.port} MP={root}/models MINE={root}/models/x GPU=-1"
    assert lines[2:] == ["weights", "weights", "0"]


@pytest.mark.parametrize("check", [None, {**QUICK, "path": "/"}])
async def test_a_strangers_answer_on_its_port_makes_no_replica_healthy(
    agent: AgentUnderTest, check: dict[str, object] | None
) -> None:
    spec = make_spec(
        command=(*SHELL, "read x < /home/work/w; exec python -m http.server {port}"),
        health_check=check,
        pre_start_actions=[{"action": "run_command", "args": {"command": ["mkfifo", "/home/work/w"]}}],
    )
    await agent.plan(spec)
    await agent.kernel(spec, state="running")
    (record,) = (agent.data / "kernels").glob("*/record.json")
    port = json.loads(record.read_text())["host_port"]
    stranger = subprocess.Popen([sys.executable, "-m", "http.server", str(port)], stderr=subprocess.DEVNULL)
    try:
        (taken,) = (await agent.until(lambda r: r.kernels[0].reason.code == "port-taken")).kernels
        assert (taken.health, taken.host, taken.port) == ("unhealthy", None, None)
        assert str(stranger.pid) in taken.reason.text
        assert not any(k.health == "healthy" for report in agent.reports for k in report.kernels)
    finally:
        stranger.kill()
        stranger.wait()
    fifo = agent.data / "process" / "kernels" / str(spec.kernel_id) / "root/home/work/w"
    await asyncio.to_thread(fifo.write_text, "go\n")
    await agent.kernel(spec, health="healthy", port=port)


async def test_who_joins_a_replicas_port_beside_it_is_found(agent: AgentUnderTest) -> None:
    shared = (
        "import http.server, socket, socketserver, sys\n"
        "class Server(http.server.ThreadingHTTPServer):\n"
        "    def server_bind(self):\n"
        "        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
        "        super().server_bind()\n"
        "Server(('', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
    )
    spec = make_spec(command=("python", "-c", shared, "{port}"), health_check={**QUICK, "path": "/"})
    await agent.plan(spec)
    row = await agent.kernel(spec, health="healthy")
    stranger = subprocess.Popen([sys.executable, "-c", shared, str(row.port)], stderr=subprocess.DEVNULL)
    try:
        await agent.until(lambda r: r.kernels[0].reason.code == "port-taken")
    finally:
        stranger.kill()
        stranger.wait()
    await agent.kernel(spec, health="healthy", port=row.port)


async def test_a_port_that_never_opens_is_told_with_where_it_listens_and_is_given_up(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path
) -> None:
    other = free_port()
    elsewhere = make_spec(command=("python", "-m", "http.server", str(other), "--bind", "127.0.0.1"))
    silent = make_spec(command=(*SHELL, "sleep 600"))
    async with agent_under_test(bus, servers, tmp_path, folders, PORT_OPEN_TIMEOUT="PT14S") as agent:
        agent.start()
        await agent.plan(elsewhere, silent)

        def said(report: NodeReport) -> bool:
            row = row_of(report, elsewhere.kernel_id)
            return row is not None and f"listen on 127.0.0.1:{other}" in row.reason.text

        told = row_of(await agent.until(said), elsewhere.kernel_id)
        assert told is not None
        assert (told.state, told.health, told.reason.code) == ("running", "degraded", "waiting-for-port")
        (record,) = (agent.data / "kernels").glob(f"{elsewhere.kernel_id}/record.json")
        assert f"its port is {json.loads(record.read_text())['host_port']}" in told.reason.text
        for spec in (elsewhere, silent):
            row = await agent.kernel(spec, health="unhealthy")
            assert row.reason.code == "port-never-opened"
            assert "within 14 s" in row.reason.text
            assert ("listen on" in row.reason.text) == (spec is elsewhere)


async def test_an_exit_is_reported_at_once_with_code_and_last_lines(agent_without_timers: AgentUnderTest) -> None:
    agent = agent_without_timers
    spec = make_spec(command=(*SHELL, "echo out of luck >&2; read x < /home/work/wait; exit 7"))
    spec = make_spec(
        **{
            **spec.model_dump(),
            "pre_start_actions": [{"action": "run_command", "args": {"command": ["mkfifo", "/home/work/wait"]}}],
        }
    )
    await agent.plan(spec)
    await agent.kernel(spec, state="running")
    fifo = agent.data / "process" / "kernels" / str(spec.kernel_id) / "root/home/work/wait"
    await asyncio.to_thread(fifo.write_text, "go\n")
    row = await agent.kernel(spec, state="exited")
    assert (row.exit_code, row.health, row.reason.code) == (7, "unhealthy", "exited")
    assert row.port is None
    text = "its program ended with exit code 7; last lines: out of luck"
    await agent.until(lambda r: any(kernel.reason.text == text for kernel in r.kernels))


async def test_a_killed_program_is_out_at_once_and_is_not_started_again(agent_without_timers: AgentUnderTest) -> None:
    agent = agent_without_timers
    spec = make_spec(command=ENGINE, health_check=QUICK)
    await agent.plan(spec)
    await agent.kernel(spec, state="running", health="healthy")
    child = ids_of(agent, spec).child
    os.kill(child, signal.SIGKILL)
    row = await agent.kernel(spec, state="exited")
    assert (row.exit_code, row.reason.code, row.health) == (137, "killed-by-signal", "unhealthy")
    other = make_spec(command=ENGINE)
    await agent.plan(spec, other)  # a new generation with the same kernel
    report = await agent.until(lambda r: (row := row_of(r, other.kernel_id)) is not None and row.state == "running")
    ended = row_of(report, spec.kernel_id)
    assert ended is not None
    assert ended.state == "exited"


async def test_a_replica_serves_as_soon_as_it_can_whatever_the_interval(agent: AgentUnderTest) -> None:
    hourly = {"path": "/health", "interval": 3600, "max_retries": 2, "max_wait_time": 1.0, "initial_delay": 0}
    spec = make_spec(command=ENGINE, health_check=hourly)
    await agent.plan(spec)
    row = await agent.kernel(spec, state="running", health="healthy")
    assert row.failures == 0


async def test_a_killed_shim_takes_its_program_along(agent: AgentUnderTest) -> None:
    spec = make_spec(command=(*SHELL, "sleep 600"))
    await agent.plan(spec)
    await agent.kernel(spec, state="running")
    ids = ids_of(agent, spec)
    os.kill(ids.shim, signal.SIGKILL)
    row = await agent.kernel(spec, state="exited")
    assert row.exit_code is None
    await eventually(lambda: not is_running(ids.child))


DAEMON = (
    "import os, sys, time\n"
    "for _ in range(2):\n"
    "    if os.fork(): os._exit(0)\n"
    "    os.setsid()\n"
    "open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')\n"
    "time.sleep(600)\n"
)
"""A program that makes itself a daemon: a session of its own, and no parent."""


def daemons_in(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


async def test_daemons_of_a_program_end_with_its_shim_and_its_removal(agent: AgentUnderTest) -> None:
    command = (*SHELL, 'python -c "$DAEMON" /home/work/daemons; exec sleep 600')
    spec = make_spec(command=command, environ={"DAEMON": DAEMON})
    await agent.plan(spec)
    await agent.kernel(spec, state="running")
    file = agent.data / "process" / "kernels" / str(spec.kernel_id) / "root/home/work/daemons"
    (daemon,) = await eventually(lambda: daemons_in(file))
    os.kill(ids_of(agent, spec).shim, signal.SIGKILL)
    row = await agent.kernel(spec, state="exited")
    assert row.exit_code is None
    await eventually(lambda: not is_running(daemon))


async def test_a_daemon_that_cleared_its_environment_ends_with_its_shim_by_its_control_group(
    agent: AgentUnderTest,
) -> None:
    """Needs a control group in which the agent may make others, as the tests of memory do."""
    clean = "import os, sys; os.execve(sys.executable, [sys.executable, '-c', os.environ['DAEMON'], sys.argv[1]], {})"
    command = (*SHELL, 'python -c "$CLEAN" /home/work/daemons; exec sleep 600')
    spec = make_spec(command=command, environ={"DAEMON": DAEMON, "CLEAN": clean})
    await agent.plan(spec)
    await agent.kernel(spec, state="running")
    file = agent.data / "process" / "kernels" / str(spec.kernel_id) / "root/home/work/daemons"
    (daemon,) = await eventually(lambda: daemons_in(file))
    assert str(spec.kernel_id) not in Path(f"/proc/{daemon}/environ").read_text()
    os.kill(ids_of(agent, spec).shim, signal.SIGKILL)
    await agent.kernel(spec, state="exited")
    await eventually(lambda: not is_running(daemon))


async def test_daemons_end_though_nobody_knows_their_kernel_any_more(agent: AgentUnderTest) -> None:
    command = (*SHELL, 'python -c "$DAEMON" {model_path}/daemons; exec sleep 600')
    spec = make_spec(command=command, environ={"DAEMON": DAEMON}, model_path="/home/work")
    await agent.plan(spec)
    await agent.kernel(spec, state="running")
    folder = agent.data / "process" / "kernels" / str(spec.kernel_id)
    (daemon,) = await eventually(lambda: daemons_in(folder / "root/home/work/daemons"))
    agent.kill(signal.SIGKILL)
    ids = ids_of(agent, spec)
    os.kill(ids.shim, signal.SIGKILL)
    await eventually(lambda: not ids.child_alive)
    assert is_running(daemon)
    shutil.rmtree(folder)
    shutil.rmtree(agent.data / "kernels" / str(spec.kernel_id))
    agent.reports.clear()
    await agent.plan()
    agent.start()
    await agent.until(lambda r: r.applied_generation == agent.generation)
    await eventually(lambda: not is_running(daemon))


async def test_an_action_that_outlived_a_killed_agent_is_ended_before_it_runs_again(agent: AgentUnderTest) -> None:
    script = f"echo $$ >> {agent.data}/actions; sleep 601 & setsid sleep 602 & echo $! >> {agent.data}/actions; wait"
    action = {"action": "run_command", "args": {"command": ["sh", "-c", script]}}
    spec = make_spec(command=(*SHELL, "exec sleep 600"), pre_start_actions=[action])
    actions = agent.data / "actions"
    await agent.plan(spec)
    first = await eventually(lambda: len(daemons_in(actions)) == 2 and daemons_in(actions))
    agent.kill(signal.SIGKILL)
    agent.start()
    await eventually(lambda: len(daemons_in(actions)) == 4)
    assert not any(is_running(pid) for pid in first)
    await agent.plan()
    await agent.gone(spec)
    await eventually(lambda: not any(is_running(pid) for pid in daemons_in(actions)))


async def test_stopping_ends_the_whole_family_and_respects_the_grace(agent: AgentUnderTest) -> None:
    stubborn = make_spec(
        stop_grace_s=0.5,
        command=(*SHELL, "trap '' TERM; setsid sleep 601 & sleep 602 & echo $$; while :; do sleep 1; done"),
    )
    polite = make_spec(
        stop_grace_s=20, command=(*SHELL, "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done")
    )
    await agent.plan(stubborn, polite)
    await agent.kernel(stubborn, state="running")
    await agent.kernel(polite, state="running")

    async def ready() -> bool:
        return "ready" in await agent.whole_log(polite) and bool(await agent.whole_log(stubborn))

    await eventually(ready)
    family = [pid for pid in _pids() if _parent_chain_has(pid, ids_of(agent, stubborn).shim)]
    assert len(family) >= 3
    await agent.plan()
    await agent.gone(stubborn)
    await agent.gone(polite)
    assert not any(is_running(pid) for pid in family)
    assert (await agent.whole_log(polite))[-1] == "bye"  # kept after the kernel is gone


def _pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


def _parent_chain_has(pid: int, wanted: int) -> bool:
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return False
        if pid == wanted:
            return True
    return False


async def test_kernels_survive_a_killed_agent_and_are_adopted_with_their_health(
    agent_without_timers: AgentUnderTest,
) -> None:
    agent = agent_without_timers
    slow = {**QUICK, "initial_delay": 0.5, "interval": 3, "max_retries": 100}
    spec = make_spec(command=ENGINE, health_check=slow)
    await agent.plan(spec)
    before = await agent.kernel(spec, state="running", health="healthy")
    ids = ids_of(agent, spec)
    agent.kill(signal.SIGKILL)
    assert ids.child_alive
    assert httpx.get(f"http://{before.host}:{before.port}/health", timeout=60, verify=False).status_code == 200
    incarnation = agent.reports[-1].incarnation
    agent.reports.clear()
    agent.start()
    report = await agent.until(lambda r: r.incarnation != incarnation)
    after = row_of(agent.reports[0], spec.kernel_id)
    assert report.applied_generation == agent.generation
    assert after is not None
    assert (after.state, after.health, after.port) == ("running", "healthy", before.port)  # from its first report on
    assert after.created_at == before.created_at
    assert ids_of(agent, spec) == ids
    os.kill(ids.child, signal.SIGKILL)  # and an adopted kernel's end is noticed as quickly
    await agent.kernel(spec, state="exited")


async def test_what_died_while_the_agent_was_away_is_told(agent: AgentUnderTest) -> None:
    spec = make_spec(command=(*SHELL, "echo gone; sleep 600"))
    await agent.plan(spec)
    await agent.kernel(spec, state="running")
    ids = ids_of(agent, spec)
    agent.kill(signal.SIGKILL)
    os.kill(ids.child, signal.SIGTERM)
    await eventually(lambda: not is_running(ids.shim))
    agent.reports.clear()
    agent.start()
    row = await agent.kernel(spec, state="exited")
    assert (row.exit_code, "gone" in row.reason.text) == (143, True)


async def test_a_sigterm_to_the_agent_leaves_kernels_running(agent: AgentUnderTest) -> None:
    spec = make_spec(command=(*SHELL, "sleep 600"))
    await agent.plan(spec)
    await agent.kernel(spec, state="running")
    ids = ids_of(agent, spec)
    assert agent.kill(signal.SIGTERM) == 0
    assert ids.child_alive


async def test_stop_kernels_on_exit_ends_them_and_reports_it(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path
) -> None:
    async with agent_under_test(bus, servers, tmp_path, folders, STOP_KERNELS_ON_EXIT="true") as agent:
        agent.start()
        specs = [make_spec(command=(*SHELL, "sleep 600")) for _ in range(3)]
        await agent.plan(*specs)
        for spec in specs:
            await agent.kernel(spec, state="running")
        families = [ids_of(agent, spec) for spec in specs]
        assert agent.kill(signal.SIGTERM) == 0
        assert not any(ids.child_alive or ids.shim_alive for ids in families)
        await eventually(lambda: {row.state for row in agent.reports[-1].kernels} == {"exited"})
        codes = {row.reason.code for row in agent.reports[-1].kernels}
        assert codes == {"agent-stopped"}, "nothing failed, and the manager is told so"


async def test_the_last_plan_is_used_before_the_bus_answers(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path
) -> None:
    async with agent_under_test(bus, servers, tmp_path, folders) as agent:
        agent.start()
        running, waiting = make_spec(command=(*SHELL, "sleep 600")), make_spec(command=(*SHELL, "sleep 600"))
        await agent.plan(running, waiting)
        await agent.kernel(waiting, state="running")
        await agent.kernel(running, state="running")
        agent.kill(signal.SIGKILL)
        record = agent.data / "kernels" / str(waiting.kernel_id) / "record.json"
        old = ids_of(agent, waiting)
        os.kill(old.child, signal.SIGKILL)
        await eventually(lambda: not is_running(old.shim))
        # As if it had never begun: its start is the plan's business, and only the plan on disk is there.
        record.unlink()
        for path in (agent.data / "process" / "kernels" / str(waiting.kernel_id)).glob("*.json"):
            path.unlink()
        real = agent.env["HEADRACE_AGENT_NATS_URL"]
        agent.env["HEADRACE_AGENT_NATS_URL"] = "nats://127.0.0.1:1"
        agent.start()

        def begun() -> bool:
            new = ProcessIds.read(agent.data / "process" / "kernels" / str(waiting.kernel_id) / "state.json")
            return new is not None and new.child_alive

        await eventually(begun)
        assert ids_of(agent, running).child_alive
        agent.kill(signal.SIGTERM)
        agent.env["HEADRACE_AGENT_NATS_URL"] = real


async def test_an_older_plan_is_refused(agent: AgentUnderTest) -> None:
    spec = make_spec(command=(*SHELL, "sleep 600"))
    await agent.plan(make_spec(command=(*SHELL, "sleep 600")))
    await agent.plan(spec)
    await agent.kernel(spec, state="running")
    agent.generation -= 2
    await agent.plan()  # generation 1 again, without anything
    agent.generation += 1
    agent.reports.clear()
    report = await agent.until(lambda r: len(agent.reports) >= 3)
    assert report.applied_generation == 2
    assert ids_of(agent, spec).child_alive


async def test_many_start_at_once_on_ports_of_their_own(agent: AgentUnderTest) -> None:
    specs = [make_spec(command=(*SHELL, "exec python -m http.server {port}")) for _ in range(8)]
    await agent.plan(*specs)
    ports = [(await agent.kernel(spec, within_s=60, state="running", health="healthy")).port for spec in specs]
    assert len(set(ports)) == 8


async def test_all_five_actions_in_order_and_in_the_log(agent: AgentUnderTest, folder: FolderId) -> None:
    spec = make_spec(
        command=(*SHELL, "cat /home/work/sub/a.txt; cat relative.txt; ls /tmp/made; sleep 600"),
        mounts=[{"folder_id": folder, "target": "/models"}],
        pre_start_actions=[
            {"action": "log", "args": {"message": "hello {braces}"}},
            {"action": "mkdir", "args": {"path": "/tmp/made/deep"}},
            {"action": "write_file", "args": {"filename": "/home/work/sub/a.txt", "body": "{a}\n", "mode": "600"}},
            {
                "action": "write_file",
                "args": {"filename": "/home/work/sub/a.txt", "body": "b\n", "append": True, "mode": "600"},
            },
            {"action": "write_file", "args": {"filename": "relative.txt", "body": "r\n"}},
            {"action": "write_tempfile", "args": {"body": "print(1)"}},
            {"action": "run_command", "args": {"command": ["sh", "-c", "cat /models/weights.txt; echo no >&2"]}},
            {"action": "log", "args": {"message": "quiet", "debug": True}},
        ],
    )
    await agent.plan(spec)
    await agent.kernel(spec, state="running")

    async def whole() -> list[str]:
        lines = await agent.whole_log(spec)
        assert len(lines) == 12
        return lines

    lines = await eventually(whole)
    assert lines[0] == "hello {braces}"
    assert lines[1].endswith("made /tmp/made/deep")
    assert lines[2].endswith("wrote 4 bytes /home/work/sub/a.txt")
    assert lines[3].endswith("appended 2 bytes to /home/work/sub/a.txt")
    assert lines[5].endswith(".py")
    assert lines[6] == '[pre-start action 7 of 8 (run_command)] {"out": "weights", "err": "no\\n"}'
    assert lines[7:] == ["[debug] quiet", "{a}", "b", "r", "deep"]
    root = agent.data / "process" / "kernels" / str(spec.kernel_id) / "root"
    assert (root / "home/work/sub/a.txt").stat().st_mode & 0o777 == 0o600
    assert (await agent.whole_log(spec, tail=5)) == lines[-5:]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (
            {"action": "run_command", "args": {"command": ["sh", "-c", "echo fine; echo broken >&2; exit 3"]}},
            ["run_command", "exit code 3", "err: broken", "out: fine"],
        ),
        ({"action": "run_command", "args": {"command": ["no-such-program"]}}, ["no-such-program"]),
        (
            {"action": "write_file", "args": {"filename": "/etc/passwd", "body": "x"}},
            ["/etc/passwd", "/home/work", "docker"],
        ),
        ({"action": "write_file", "args": {"filename": "/home/work/../../x", "body": "x"}}, ["/home/work/../../x"]),
        ({"action": "write_file", "args": {"filename": "/models/x", "body": "x"}}, ["/models/x", "read-only"]),
        ({"action": "mkdir", "args": {"path": "/models/x"}}, ["/models/x", "read-only"]),
    ],
)
async def test_a_failing_action_stops_the_start(
    agent: AgentUnderTest, folder: FolderId, action: dict[str, object], words: list[str]
) -> None:
    spec = make_spec(
        mounts=[{"folder_id": folder, "target": "/models"}],
        pre_start_actions=[{"action": "log", "args": {"message": "first"}}, action],
    )
    await agent.plan(spec)
    row = await agent.kernel(spec, state="failed")
    assert (row.reason.code, row.health) == ("pre-start-action-failed", "unhealthy")
    assert row.reason.text.startswith("pre-start action 2 of 2")
    for word in words:
        assert word in row.reason.text
    assert (await agent.whole_log(spec))[0] == "first"
    assert not (agent.folders / str(folder) / "x").exists()
    await agent.plan()
    await agent.gone(spec)


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({"mounts": [{"folder_id": str(new_uuid()), "target": "/models"}]}, "folder-missing", "/models"),
        ({"command": ["no-such-program"]}, "start-failed", "no-such-program"),
        ({"command": []}, "no-command", "start command"),
        ({"environ": {f"A{i}": "x" * 32_000 for i in range(100)}}, "start-failed", "too long"),
    ],
)
async def test_what_cannot_be_started_says_why(
    agent: AgentUnderTest, changes: dict[str, object], code: str, word: str
) -> None:
    spec = make_spec(**changes)
    await agent.plan(spec)
    row = await agent.kernel(spec, state="failed")
    assert row.reason.code == code
    assert word in row.reason.text


async def test_a_start_that_breaks_is_a_failed_one(agent: AgentUnderTest, folder: FolderId) -> None:
    deep = "/home/work" + "/d" * 1800  # deeper than the program's own stack
    spec = make_spec(mounts=[{"folder_id": folder, "target": deep}])
    await agent.plan(spec)
    row = await agent.kernel(spec, state="failed")
    assert row.reason.code == "start-failed"


async def test_a_link_in_the_storage_is_not_followed(agent: AgentUnderTest, folder: FolderId) -> None:
    other = FolderId(new_uuid())
    (agent.folders / str(other)).symlink_to("/etc")
    spec = make_spec(mounts=[{"folder_id": other, "target": "/models"}])
    await agent.plan(spec)
    assert (await agent.kernel(spec, state="failed")).reason.code == "folder-missing"


async def test_a_start_that_takes_long_can_be_called_off(agent: AgentUnderTest) -> None:
    spec = make_spec(pre_start_actions=[{"action": "run_command", "args": {"command": ["sleep", "604"]}}])
    await agent.plan(spec)
    row = await agent.kernel(spec, state="preparing")
    await agent.until(lambda r: "pre-start action 1" in r.kernels[0].reason.text)
    assert row.health == "degraded"
    await agent.plan()
    await agent.gone(spec)
    commands = [Path(f"/proc/{pid}/cmdline") for pid in _pids()]
    assert not any(b"sleep\x00604" in path.read_bytes() for path in commands if path.exists())


async def test_health_goes_by_the_definition(agent: AgentUnderTest) -> None:
    spec = make_spec(
        command=ENGINE,
        environ={"HEADRACE_ENGINE_LOAD_S": "1"},
        health_check={**QUICK, "initial_delay": 0.5, "max_retries": 10},
    )
    await agent.plan(spec)
    row = await agent.kernel(spec, state="running")
    assert (row.health, row.reason.code) == ("degraded", "initial-delay")
    await agent.until(lambda r: r.kernels[0].reason.code == "not-yet-healthy")
    row = await agent.kernel(spec, health="healthy")
    url = f"http://{row.host}:{row.port}/debug/settings"
    httpx.post(url, json={"fail_health": True}, timeout=60, verify=False)
    await agent.until(lambda r: r.kernels[0].reason.code == "health-check-failing")
    row = await agent.kernel(spec, health="unhealthy", failures=11)
    assert "503" in row.reason.text
    httpx.post(url, json={"fail_health": False}, timeout=60, verify=False)
    await agent.kernel(spec, health="healthy", failures=0)


async def test_the_log_is_followed_over_the_bus(agent: AgentUnderTest) -> None:
    spec = make_spec(
        command=(
            *SHELL,
            "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; read x < /home/work/w; echo last",
        ),
        pre_start_actions=[{"action": "run_command", "args": {"command": ["mkfifo", "/home/work/w"]}}],
    )
    await agent.plan(spec)
    await agent.kernel(spec, state="running")
    fifo = agent.data / "process" / "kernels" / str(spec.kernel_id) / "root/home/work/w"
    async with agent.reading(spec, tail=10, follow=True) as log:
        assert log.accepted.accepted
        await eventually(lambda: len(log.lines) >= 10)
        assert not log.eof.is_set()
        await asyncio.to_thread(fifo.write_text, "go\n")
        async with asyncio.timeout(60):
            await log.eof.wait()
    texts = [line.partition(" ")[2] for line in log.lines]
    assert texts[-1] == "last"
    assert texts.index("last") >= 10
    assert log.sequences == list(range(len(log.sequences)))
    assert all(line[4] == "-" and line.partition(" ")[0].endswith("Z") for line in log.lines)
    assert len(await agent.whole_log(spec)) == 302
    await agent.plan()
    await agent.gone(spec)
    assert len(await agent.whole_log(spec)) == 302  # kept after the kernel is gone
    async with agent.reading(make_spec()) as log:
        assert not log.accepted.accepted
        assert "not on this machine" in log.accepted.detail


async def test_readers_of_one_services_log_leave_room_for_those_of_another(agent: AgentUnderTest) -> None:
    crowded, beside = (make_spec(command=(*SHELL, "echo here; sleep 600")) for _ in range(2))
    await agent.plan(crowded, beside)
    await agent.kernel(crowded, state="running")
    await agent.kernel(beside, state="running")
    async with AsyncExitStack() as readers:
        for _ in range(MOST["service"]):
            log = await readers.enter_async_context(agent.reading(crowded, follow=True))
            assert log.accepted.accepted, log.accepted.detail
        async with agent.reading(crowded, follow=True) as log:
            assert not log.accepted.accepted
            assert (log.accepted.found, log.accepted.allowed) == (MOST["service"], MOST["service"])
            assert "logs of the service" in log.accepted.detail
        async with agent.reading(beside, follow=True) as log:
            assert log.accepted.accepted, log.accepted.detail


async def test_the_log_of_an_absent_agent_has_its_times(agent: AgentUnderTest) -> None:
    spec = make_spec(command=(*SHELL, "while :; do date -u +%Y-%m-%dT%H:%M:%S; sleep 0.2; done"))
    await agent.plan(spec)
    await agent.kernel(spec, state="running")
    agent.kill(signal.SIGKILL)
    log = agent.data / "process" / "kernels" / str(spec.kernel_id) / "log"
    size = log.stat().st_size
    await eventually(lambda: log.stat().st_size > size + 200)
    agent.reports.clear()
    agent.start()
    await agent.kernel(spec, state="running")
    lines = log.read_text().splitlines()
    assert len(lines) > 5
    for line in lines:
        at, _, said = line.partition(" ")
        assert abs(_seconds(at) - _seconds(said)) <= 2


def _seconds(text: str) -> int:
    return sum(int(part) * factor for part, factor in zip(text[11:19].split(":"), (3600, 60, 1), strict=True))


async def test_samples_of_kernel_and_engine(agent: AgentUnderTest) -> None:
    spec = make_spec(command=ENGINE, health_check=QUICK)
    job = make_spec(command=(*SHELL, "while :; do :; done"))
    await agent.plan(spec, job)
    await agent.kernel(spec, state="running", health="healthy")
    await agent.kernel(job, state="running")

    def told() -> bool:
        mine = [s for s in agent.samples if s.kernel_id == spec.kernel_id and "cpu_util" in s.kernel]
        busy = [s for s in agent.samples if s.kernel_id == job.kernel_id and s.kernel.get("cpu_used", 0) > 0.02]
        return bool(busy) and any(any(":rate" in name for name in s.engine) for s in mine)

    await eventually(told)
    sample = next(s for s in reversed(agent.samples) if s.kernel_id == spec.kernel_id and s.engine)
    assert sample.service_id == spec.service_id
    assert sample.session_id == spec.session_id
    assert sample.engine["vllm:num_requests_running"] == 0
    assert 5_000_000 < sample.kernel["mem"] < 500_000_000
    assert 0 < sample.kernel["mem_util"] < 100
    assert not any(name.endswith("_bucket") for name in sample.engine)
    assert not any(s.engine for s in agent.samples if s.kernel_id == job.kernel_id)


async def test_simulated_gpus_are_reported_and_loaded(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path
) -> None:
    async with agent_under_test(
        bus, servers, tmp_path, folders, SIMULATED_GPUS="2", CPU="3.5", MEM_BYTES="1000000000"
    ) as agent:
        agent.start()
        spec = make_spec(
            command=(*SHELL, "echo $HEADRACE_SIMULATED_GPUS; while :; do :; done"), gpus=[{"gpu_id": "SIM-agent-3-0"}]
        )
        await agent.plan(spec)
        await agent.kernel(spec, state="running")
        report = await agent.until(lambda r: r.machine.gpus[0].utilization_percent > 2)
        assert {name: str(amount) for name, amount in report.machine.slots.items()} == {
            "cpu": "3.5",
            "mem": "1000000000",
            "cuda.device": "2",
        }
        assert report.machine.gpus[0].memory_used_bytes > 0
        assert report.machine.gpus[1].memory_used_bytes == 0
        await eventually(lambda: any(s.kernel.get("cuda_util", 0) > 2 for s in agent.samples))
        assert await agent.whole_log(spec) == ["SIM-agent-3-0"]


async def test_the_admin_pages(agent: AgentUnderTest) -> None:
    await agent.until(lambda r: True)
    base = f"http://127.0.0.1:{agent.env['HEADRACE_AGENT_ADMIN_PORT']}"
    assert httpx.get(f"{base}/livez", timeout=60, verify=False).status_code == 200
    assert httpx.get(f"{base}/readyz", timeout=60, verify=False).json() == {"status": "ok", "failing": {}}
    page = httpx.get(f"{base}/metrics", timeout=60, verify=False).text
    assert "headrace_agent_kernels" in page
    assert agent.env["HEADRACE_AGENT_NATS_PASSWORD"] not in agent.log.read_text()


async def test_a_second_agent_on_the_same_data_is_refused(agent: AgentUnderTest, tmp_path: Path) -> None:
    await agent.until(lambda r: True)
    second = AgentUnderTest(agent.bus, agent.env, agent.data, agent.folders, tmp_path / "second.log")
    second.start()
    assert second.process is not None
    assert second.process.wait(60) == 1
    assert "another agent" in second.log.read_text()


GROWING = (
    "import time; print('growing', flush=True); x = bytearray(b'x') * (300 * 2**20); print('grown', flush=True);"
    "time.sleep(600)"
)
"""Takes 300 MiB, and then does nothing."""


async def test_more_memory_than_its_slot_ends_a_replica_with_that_reason(agent: AgentUnderTest) -> None:
    """Needs a control group in which the agent may make others: root, or a delegated one."""
    big = make_spec(command=("python", "-c", GROWING), slots={"cpu": 1, "mem": "100m"})
    small = make_spec(command=("python", "-c", GROWING), slots={"cpu": 1, "mem": "600m"})
    await agent.plan(big, small)
    row = await agent.kernel(big, state="exited")
    assert (row.exit_code, row.reason.code) == (137, "out-of-memory"), row
    assert "mem slot" in row.reason.text

    async def grown() -> bool:
        return "grown" in await agent.whole_log(small)

    await eventually(grown)
    await agent.kernel(small, state="running")
    groups = [json.loads(path.read_text())["group"] for path in (agent.data / "process/kernels").glob("*/kernel.json")]
    assert [Path(group).is_dir() for group in groups] == [True, True]
    await agent.plan()
    await agent.until(lambda r: not r.kernels)
    assert [Path(group).exists() for group in groups] == [False, False]


async def test_a_process_of_a_replica_that_is_killed_for_memory_is_why_it_ended(agent: AgentUnderTest) -> None:
    """An engine that ends itself because its worker is gone has an exit code of its own."""
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {GROWING!r}]); sys.exit(3)"
    spec = make_spec(command=("python", "-c", script), slots={"cpu": 1, "mem": "100m"})
    await agent.plan(spec)
    row = await agent.kernel(spec, state="exited")
    assert (row.exit_code, row.reason.code) == (3, "out-of-memory"), row


async def test_where_nothing_bounds_memory_a_replica_that_takes_too_much_serves_on_and_says_so(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path
) -> None:
    """Its processes count together; each alone is within the slot."""
    grow = "x = bytearray(b'x') * (80 * 2**20); import time; time.sleep(600)"
    script = (
        f"import subprocess, sys; p = [subprocess.Popen([sys.executable, '-c', {grow!r}]) for _ in range(2)];"
        "import http.server; http.server.test(port=8000)"
    )
    script = script.replace("port=8000", "port=int(__import__('os').environ['PORT'])")
    spec = make_spec(command=("python", "-c", script), slots={"cpu": 1, "mem": "128m"})
    other = make_spec(slots={"cpu": 1, "mem": "512m"})
    async with agent_under_test(bus, servers, tmp_path, folders, PROCESS_CONTROL_GROUPS="off") as agent:
        agent.start()
        await agent.plan(spec, other)
        report = await agent.until(
            lambda r: (row := row_of(r, spec.kernel_id)) is not None and row.reason.code == "memory-over-limit"
        )
        row = row_of(report, spec.kernel_id)
        assert row is not None
        assert (row.state, row.health) == ("running", "healthy")
        assert "mem slot of 128 MiB" in row.reason.text
        assert (await agent.kernel(other, health="healthy")).reason.code != "memory-over-limit"
        assert report.machine.isolation is not None
        assert "nothing bounds their memory" in report.machine.isolation.text
        await eventually(lambda: "memory_over_limit" in agent.log.read_text())


async def test_where_nothing_bounds_memory_a_setting_ends_what_takes_too_much(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path
) -> None:
    spec = make_spec(command=("python", "-c", GROWING), slots={"cpu": 1, "mem": "100m"})
    other = make_spec(slots={"cpu": 1, "mem": "512m"})
    async with agent_under_test(
        bus, servers, tmp_path, folders, PROCESS_CONTROL_GROUPS="off", MEMORY_OVER_LIMIT="end"
    ) as agent:
        agent.start()
        await agent.plan(spec, other)
        row = await agent.kernel(spec, state="exited")
        assert (row.health, row.reason.code) == ("unhealthy", "out-of-memory")
        assert "mem slot of 100 MiB" in row.reason.text
        assert "growing" in row.reason.text  # the end of its log
        await agent.kernel(other, state="running", health="healthy")
