"""The agent on a real Docker engine, with images made here."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from platform import machine
from uuid import uuid4

import httpx
import pytest

from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.embedded.stack import EmbeddedServers
from tests.integration.agent.conftest import AGENT, SH, AgentUnderTest, agent_under_test, container, inspect
from tests.integration.agent.containers import docker, made_for
from tests.support.disk import small_disk
from tests.support.wait import eventually

pytestmark = pytest.mark.docker


async def test_a_container_with_its_limits(docker_agent: AgentUnderTest, busybox: str, folder: FolderId) -> None:
    agent = docker_agent
    mount = {"folder_id": folder, "target": "/models"}
    check = {"path": "/weights.txt", "interval": 0.2, "initial_delay": 0.1}
    serve = ("httpd", "-f", "-p", "8000", "-h", "/models")
    spec = container(
        busybox, command=serve, mounts=[mount], health_check=check, environ={"SECRET": "x"}, shm_size=2**23
    )
    await agent.plan(spec)
    row = await agent.kernel(spec, state="running", health="healthy")
    assert httpx.get(f"http://{row.host}:{row.port}/weights.txt", timeout=60, verify=False).text == "weights"
    found = inspect(spec)
    host = found["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (500_000_000, 64 * 2**20, 64 * 2**20)
    assert (host["CapDrop"], host["SecurityOpt"], host["Init"], host["Privileged"]) == (
        ["ALL"],
        ["no-new-privileges"],
        True,
        False,
    )
    assert (host["PidsLimit"], host["ShmSize"]) == (8192, 2**23)
    assert [(m["Destination"], m["RW"]) for m in found["Mounts"]] == [("/models", False)]
    labels = found["Config"]["Labels"]
    assert labels["headrace.session"] == str(spec.session_id)
    assert len(labels["headrace.digest"]) == 64
    assert host["PortBindings"] == {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(row.port)}]}
    await agent.plan()
    await agent.gone(spec)
    assert docker("ps", "-aq", "--filter", f"label=headrace.kernel={spec.kernel_id}") == ""


async def test_the_disk_of_the_engine_s_data_is_reported_and_nothing_starts_below_its_reserve(
    bus: Bus, servers: EmbeddedServers, tmp_path: Path, folders: Path, busybox: str
) -> None:
    root = Path(docker("info", "--format", "{{.DockerRootDir}}"))
    free = os.statvfs(root).f_bavail * os.statvfs(root).f_frsize
    with small_disk(tmp_path / "disk", 64) as small:
        data = small.path / "agent"
        settings = {"RUNTIME": "docker", "DOCKER_FIREWALL": "preferred", "DATA_DIR": str(data)}
        async with agent_under_test(bus, servers, tmp_path, folders, **settings) as agent:
            agent.data = data
            agent.env["HEADRACE_AGENT_DISK_RESERVE_BYTES"] = str(2**60)
            agent.start()
            spec = container(busybox)
            await agent.plan(spec)
            report = await agent.until(lambda r: any(k.reason.code == "disk-low" for k in r.kernels))
            found = report.machine.engine_disk
            assert found is not None
            assert not found.has_room
            assert abs(found.free_bytes - free) < free / 2
            assert found.total_bytes == os.statvfs(root).f_blocks * os.statvfs(root).f_frsize
            assert report.machine.disk is not None
            assert report.machine.disk.total_bytes == 64 * 2**20


async def test_what_the_program_sees(docker_agent: AgentUnderTest, busybox: str, folder: FolderId) -> None:
    script = (
        "pwd; id -u; echo HOME=$HOME PORT=$PORT MP=$MODEL_PATH MINE=$MINE; cat {model_path}/weights.txt; echo;"
        " touch /models/x 2>/dev/null || echo refused; touch $HOME/y && echo home; exec sleep 600"
    )
    spec = container(
        busybox, command=(*SH, script), environ={"MINE": "1"}, mounts=[{"folder_id": folder, "target": "/models"}]
    )
    await docker_agent.plan(spec)
    await docker_agent.kernel(spec, state="running")

    async def whole() -> list[str]:
        lines = await docker_agent.whole_log(spec)
        assert lines[-1:] == ["home"]
        return lines

    lines = await eventually(whole)
    assert lines[:4] == ["/home/work", "1234", "HOME=/home/work PORT=8000 MP=/models MINE=1", "weights"]
    assert "refused" in lines


async def test_the_images_own_command_runs_where_none_is_given(docker_agent: AgentUnderTest, busybox: str) -> None:
    spec = container(busybox, command=())
    await docker_agent.plan(spec)
    row = await docker_agent.kernel(spec, state="running", health="healthy")
    assert httpx.get(f"http://{row.host}:{row.port}/etc/passwd", timeout=60, verify=False).status_code == 200


async def test_a_port_that_nobody_listens_on_yet_is_not_ready(docker_agent: AgentUnderTest, busybox: str) -> None:
    """Docker's proxy accepts connections for a container that does not."""
    spec = container(busybox, command=(*SH, "while [ ! -e /tmp/go ]; do sleep 0.1; done; exec httpd -f -p 8000 -h /"))
    await docker_agent.plan(spec)
    await docker_agent.until(lambda r: r.kernels and "not accept" in r.kernels[0].reason.text)
    docker_agent.reports.clear()
    report = await docker_agent.until(lambda r: len(docker_agent.reports) >= 2)
    assert (report.kernels[0].health, report.kernels[0].reason.code) == ("degraded", "waiting-for-port")
    docker("exec", f"headrace-{AGENT}-{spec.kernel_id}", "touch", "/tmp/go")
    await docker_agent.kernel(spec, state="running", health="healthy")


async def test_an_exit_is_reported_at_once(docker_agent_without_timers: AgentUnderTest, busybox: str) -> None:
    docker_agent = docker_agent_without_timers
    spec = container(busybox, command=(*SH, "echo out of luck; sleep 600"))
    await docker_agent.plan(spec)
    await docker_agent.kernel(spec, state="running")
    name = f"headrace-{AGENT}-{spec.kernel_id}"
    await eventually(lambda: "out of luck" in docker("logs", name))
    await asyncio.to_thread(docker, "kill", name)
    row = await docker_agent.kernel(spec, state="exited")
    assert (row.exit_code, row.health, row.reason.code) == (137, "unhealthy", "killed-by-signal")
    assert "out of luck" in row.reason.text


async def test_too_much_memory_is_named(docker_agent: AgentUnderTest, busybox: str) -> None:
    # tmpfs pages count as the container's memory
    spec = container(busybox, slots={"mem": "16m"}, command=(*SH, "dd if=/dev/zero of=/dev/shm/x bs=1M count=64"))
    await docker_agent.plan(spec)
    report = await docker_agent.until(lambda r: r.kernels and r.kernels[0].reason.code == "out-of-memory")
    assert (report.kernels[0].state, report.kernels[0].exit_code) == ("exited", 137)


async def test_containers_survive_a_killed_agent_and_are_adopted(docker_agent: AgentUnderTest, busybox: str) -> None:
    agent = docker_agent
    check = {"path": "/", "interval": 3.0, "initial_delay": 0.2, "expected_status_code": 404}
    spec = container(busybox, command=("httpd", "-f", "-p", "8000", "-h", "/tmp"), health_check=check)
    await agent.plan(spec)
    before = await agent.kernel(spec, state="running", health="healthy")
    identity = inspect(spec)["Id"], inspect(spec)["State"]["Pid"]
    agent.kill(signal.SIGKILL)
    agent.reports.clear()
    agent.start()
    await agent.until(lambda r: True)
    first = agent.reports[0].kernels[0]
    assert (first.state, first.health, first.port, first.created_at) == (
        "running",
        "healthy",
        before.port,
        before.created_at,
    )
    assert (inspect(spec)["Id"], inspect(spec)["State"]["Pid"]) == identity
    docker("kill", f"headrace-{AGENT}-{spec.kernel_id}")
    await agent.kernel(spec, state="exited")


async def test_without_its_data_the_agent_adopts_by_labels(docker_agent: AgentUnderTest, busybox: str) -> None:
    agent = docker_agent
    spec = container(busybox)
    await agent.plan(spec)
    before = await agent.kernel(spec, state="running", health="healthy")
    agent.kill(signal.SIGKILL)
    (agent.data / "plan.json").unlink()
    (agent.data / "kernels" / str(spec.kernel_id) / "record.json").unlink()
    agent.reports.clear()
    agent.start()
    after = await agent.kernel(spec, state="running", health="healthy")
    assert after.port == before.port
    assert docker("ps", "-q", "--filter", f"label=headrace.kernel={spec.kernel_id}").count("\n") == 0


ACTIONS = [
    {"action": "log", "args": {"message": "hello"}},
    {"action": "mkdir", "args": {"path": "/opt/a/b"}},
    {"action": "write_file", "args": {"filename": "/opt/a/b/c.txt", "body": "{one}\n", "mode": "640"}},
    {"action": "write_file", "args": {"filename": "/opt/a/b/c.txt", "body": "two\n", "append": True, "mode": "640"}},
    {"action": "write_file", "args": {"filename": "page.txt", "body": "home"}},
    {"action": "write_tempfile", "args": {"body": "print(1)"}},
]


async def test_all_five_actions_inside_the_container(docker_agent: AgentUnderTest, busybox: str) -> None:
    command = {"action": "run_command", "args": {"command": ["sh", "-c", "cat /opt/a/b/c.txt; id -u >&2; echo $MINE"]}}
    spec = container(
        busybox,
        environ={"MINE": "mine"},
        pre_start_actions=[*ACTIONS, command],
        command=(*SH, "stat -c '%a %u' /opt/a/b/c.txt; stat -c '%a %u' /tmp; cat page.txt; echo; exec sleep 600"),
    )
    await docker_agent.plan(spec)
    row = await docker_agent.kernel(spec, state="running")
    assert row.created_at is not None

    async def whole() -> list[str]:
        lines = await docker_agent.whole_log(spec)
        assert len(lines) == 10
        return lines

    lines = await eventually(whole)
    assert lines[0] == "hello"
    assert lines[6] == '[pre-start action 7 of 7 (run_command)] {"out": "{one}\\ntwo\\nmine\\n", "err": "1234\\n"}'
    assert lines[7:] == ["640 1234", "1777 0", "home"]


async def test_files_need_no_shell_in_the_image(docker_agent: AgentUnderTest, bare: str) -> None:
    spec = container(bare, command=("/httpd", "-f", "-p", "8000", "-h", "/home/work"), pre_start_actions=ACTIONS)
    await docker_agent.plan(spec)
    row = await docker_agent.kernel(spec, state="running", health="healthy")
    assert httpx.get(f"http://{row.host}:{row.port}/page.txt", timeout=60, verify=False).text == "home"


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (
            {"action": "run_command", "args": {"command": ["sh", "-c", "echo fine; echo broken >&2; exit 3"]}},
            ["exit code 3", "err: broken", "out: fine"],
        ),
        ({"action": "run_command", "args": {"command": ["no-such-program"]}}, ["no-such-program"]),
        ({"action": "write_file", "args": {"filename": "/models/x", "body": "x"}}, ["/models/x", "read-only"]),
    ],
)
async def test_a_failing_action_stops_the_start_and_leaves_nothing(
    docker_agent: AgentUnderTest, busybox: str, folder: FolderId, action: dict[str, object], words: list[str]
) -> None:
    spec = container(
        busybox, mounts=[{"folder_id": folder, "target": "/models"}], pre_start_actions=[ACTIONS[0], action]
    )
    await docker_agent.plan(spec)
    row = await docker_agent.kernel(spec, state="failed")
    assert row.reason.code == "pre-start-action-failed"
    for word in words:
        assert word in row.reason.text
    assert docker("ps", "-aq", "--filter", f"label=headrace.kernel={spec.kernel_id}") == ""
    assert (await docker_agent.whole_log(spec))[0] == "hello"


async def test_an_agent_killed_during_the_actions_begins_anew(docker_agent: AgentUnderTest, busybox: str) -> None:
    agent = docker_agent
    command = ["sh", "-c", "echo x >> /tmp/count; cat /tmp/count; sleep 3"]
    spec = container(busybox, pre_start_actions=[{"action": "run_command", "args": {"command": command}}])
    await agent.plan(spec)
    await agent.until(lambda r: r.kernels and "action 1" in r.kernels[0].reason.text)
    agent.kill(signal.SIGKILL)
    agent.reports.clear()
    agent.start()
    await agent.kernel(spec, state="running", health="healthy")
    assert (await agent.whole_log(spec))[0].endswith('{"out": "x\\n", "err": ""}')  # in a fresh container


async def test_an_image_that_cannot_be_had_fails_with_the_engines_words(docker_agent: AgentUnderTest) -> None:
    agent = docker_agent
    agent.kill(signal.SIGTERM)
    agent.env["HEADRACE_AGENT_IMAGE_REGISTRIES"] = '["127.0.0.1:1"]'
    agent.start()
    spec = container("127.0.0.1:1/no/such:image")
    await agent.plan(spec)
    row = await agent.kernel(spec, state="failed", within_s=60)
    assert row.reason.code == "image-pull-failed"
    assert "127.0.0.1:1" in row.reason.text


@pytest.mark.parametrize(
    ("image", "code"),
    [
        ("127.0.0.1:1/no/such:image", "image-registry-refused"),
        ("localhost/no/such", "image-registry-refused"),
        ("169.254.169.254/latest/meta-data", "image-registry-refused"),
        ("thing/../../containers/json?x=", "image-refused"),
        ("../info", "image-refused"),
    ],
)
async def test_an_image_that_leads_elsewhere_is_refused_without_asking_there(
    docker_agent: AgentUnderTest, image: str, code: str
) -> None:
    spec = container(image)
    await docker_agent.plan(spec)
    row = await docker_agent.kernel(spec, state="failed")
    assert row.reason.code == code


async def test_an_image_for_another_processor_is_refused_by_name(docker_agent: AgentUnderTest, busybox: str) -> None:
    other = "arm64" if machine() == "x86_64" else "amd64"
    tag = f"agent-test-other:{uuid4().hex[:8]}"
    made_for(other, busybox, tag)
    spec = container(tag)
    try:
        await docker_agent.plan(spec)
        row = await docker_agent.kernel(spec, state="failed")
        assert row.reason.code == "image-architecture"
        assert f"made for {other}, and this machine is {machine()}" in row.reason.text
    finally:
        docker("image", "rm", "-f", tag)


async def test_set_user_id_programs_do_not_stay_in_shared_folders(
    docker_agent: AgentUnderTest, busybox: str, folder: FolderId
) -> None:
    place = docker_agent.folders / str(folder)
    place.chmod(0o777)
    script = "cp /bin/busybox /data/deep/sh; chmod 6755 /data/deep/sh; echo done; exec sleep 600"
    spec = container(
        busybox,
        command=(*SH, f"mkdir /data/deep; {script}"),
        mounts=[{"folder_id": folder, "target": "/data", "read_only": False}],
    )
    await docker_agent.plan(spec)
    await eventually(lambda: (place / "deep/sh").exists() and (place / "deep/sh").stat().st_mode & 0o6000 == 0o6000)
    await docker_agent.plan()
    await docker_agent.gone(spec)
    assert (place / "deep/sh").stat().st_mode & 0o7777 == 0o755


async def test_set_user_id_programs_of_a_start_that_failed_do_not_stay_either(
    docker_agent: AgentUnderTest, busybox: str, folder: FolderId
) -> None:
    place = docker_agent.folders / str(folder)
    place.chmod(0o777)
    script = "cp /bin/busybox /data/sh && chmod 6755 /data/sh && touch /data/done && exit 3"
    spec = container(
        busybox,
        mounts=[{"folder_id": folder, "target": "/data", "read_only": False}],
        pre_start_actions=[{"action": "run_command", "args": {"command": [*SH, script]}}],
    )
    await docker_agent.plan(spec)
    row = await docker_agent.kernel(spec, state="failed")
    assert row.reason.code == "pre-start-action-failed"
    assert (place / "done").exists()
    assert (place / "sh").stat().st_mode & 0o7777 == 0o755


async def test_a_program_that_is_not_in_the_image(docker_agent: AgentUnderTest, busybox: str, bare: str) -> None:
    lost, shellless = container(busybox, command=("no-such-program",)), container(bare, command=(*SH, "true"))
    await docker_agent.plan(lost, shellless)
    for spec in (lost, shellless):
        found = await docker_agent.ended(spec)
        assert "no-such-program" in found.reason.text or "/bin/sh" in found.reason.text


async def test_stopping_respects_the_grace(docker_agent: AgentUnderTest, busybox: str) -> None:
    agent = docker_agent
    polite = container(
        busybox, stop_grace_s=30, command=(*SH, "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done")
    )
    stubborn = container(
        busybox, stop_grace_s=0.5, command=(*SH, "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    )
    await agent.plan(polite, stubborn)
    for spec in (polite, stubborn):
        await agent.kernel(spec, state="running")

        async def ready(spec: KernelSpec = spec) -> bool:
            return "ready" in await agent.whole_log(spec)

        await eventually(ready)
    await agent.plan()
    await agent.gone(polite)
    await agent.gone(stubborn)
    assert (await agent.whole_log(polite))[-1] == "bye"


async def test_the_log_is_followed(docker_agent: AgentUnderTest, busybox: str) -> None:
    script = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo last"
    spec = container(busybox, command=(*SH, script))
    await docker_agent.plan(spec)
    await docker_agent.kernel(spec, state="running")
    async with docker_agent.reading(spec, tail=10, follow=True) as log:
        await eventually(lambda: len(log.lines) >= 10)
        docker("exec", f"headrace-{AGENT}-{spec.kernel_id}", "touch", "/tmp/go")
        async with asyncio.timeout(60):
            await log.eof.wait()
    assert [line.partition(" ")[2] for line in log.lines][-1] == "last"
    assert len(await docker_agent.whole_log(spec)) == 301
    assert len(await docker_agent.whole_log(spec, tail=5)) == 5


async def test_samples(docker_agent: AgentUnderTest, busybox: str) -> None:
    spec = container(busybox, command=(*SH, "while :; do :; done"))
    await docker_agent.plan(spec)
    await docker_agent.kernel(spec, state="running")

    def told() -> bool:
        return any("net_rx" in s.kernel and 0.1 < s.kernel["cpu_used"] < 0.8 for s in docker_agent.samples)

    await eventually(told)
    assert all(s.kernel["mem_util"] < 100 for s in docker_agent.samples)


async def test_a_strangers_port_is_left_alone(docker_agent: AgentUnderTest, busybox: str) -> None:
    first, last = map(int, docker_agent.env["HEADRACE_AGENT_PORT_RANGE"].split("-"))
    async with AsyncExitStack() as strangers:  # on all ports but one, since the agent begins anywhere in its range
        for port in range(first, last):
            with suppress(OSError):  # somebody else's already
                server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", port)
                await strangers.enter_async_context(server)
        spec = container(busybox)
        await docker_agent.plan(spec)
        row = await docker_agent.kernel(spec, state="running", health="healthy")
        assert row.port == last


async def test_a_program_that_listens_elsewhere_in_its_container_is_told_so(
    docker_agent: AgentUnderTest, busybox: str
) -> None:
    spec = container(busybox, command=("httpd", "-f", "-p", "127.0.0.1:9000", "-h", "/"))
    await docker_agent.plan(spec)
    await docker_agent.kernel(spec, state="running")
    await docker_agent.until(lambda r: "programs listen on 127.0.0.1:9000, and" in r.kernels[0].reason.text, 30)
    assert docker_agent.reports[-1].kernels[0].reason.code == "waiting-for-port"
