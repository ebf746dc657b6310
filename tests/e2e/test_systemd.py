"""Headrace under systemd, as an operator installs it from its wheel: serves, restarts and reboots, on a machine of its own."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import pytest

from headrace.agent.domain.port_filter import PortFilter
from headrace.agent.domain.ports import PortRange
from tests.support.wait import eventually
from tests.support.worlds.systemd import HOST, Machine, install_servers, machine

pytestmark = [pytest.mark.e2e, pytest.mark.docker, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/chat-simulated"
UNITS = [f"headrace-{name}.service" for name in ("manager", "appproxy", "autoscaler", "agent")]
BODY = json.dumps(
    {"model": "chat-simulated", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
).encode()


@dataclass(frozen=True)
class Installed:
    """Machine on which a model is served, and a token for it."""

    on: Machine
    token: str
    service: str = "chat"

    async def asks(self) -> str:
        """Send one request on a connection of its own; return its status, or how it failed."""
        head = (
            f"POST /{self.service}/v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        try:
            reader, writer = await asyncio.open_connection(self.on.address, 8000)
            writer.write(head.encode() + BODY)
            answer = await asyncio.wait_for(reader.read(), 90)
            writer.close()
        except OSError as error:
            return type(error).__name__
        whole = b"choices" in answer
        return answer[9:12].decode() if whole else f"{answer[9:12].decode()} without an answer"

    @asynccontextmanager
    async def under_load(self, callers: int = 3) -> AsyncIterator[Counter[str]]:
        """Send requests meanwhile; what came of them is whole once the block is left."""
        told: Counter[str] = Counter()
        enough = asyncio.Event()

        async def calls() -> None:
            while not enough.is_set():
                told[await self.asks()] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(calls())
            await eventually(lambda: told.total() > 10)
            yield told
            done = told.total()
            await eventually(lambda: told.total() > done + 10)
            enough.set()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Install as docs/operations.md says, and serve a model with two replicas that are processes."""
    with machine(tmp_path_factory.mktemp("wheel")) as on:
        on.headrace("init", "/etc/headrace", "--url", f"https://{HOST}", "--layout", "host")
        install_servers(on)
        on.runs(
            "sh", "-c", "printf 'runtime = \"process\"\nsimulated_gpus = 4\n' >>/etc/headrace/settings/agent-1.toml"
        )
        said = on.headrace("systemd", "install", "/etc/headrace", "--now")
        assert f"systemctl restart {' '.join(UNITS)}" in said
        on.runs(
            *("/opt/headrace/bin/python", "-m", "headrace.cli", "login", "--url", "https://127.0.0.1"),
            *("--ca", "/etc/headrace/tls/ca.crt", "--key", "-"),
            given=on.runs("cat", "/etc/headrace/admin.key"),
        )
        on.copy(EXAMPLE, "/tmp/chat")
        on.headrace("folder", "create", "chat")
        on.headrace("folder", "upload", "chat", "/tmp/chat")
        on.headrace("service", "create", "chat", "--folder", "chat", "--replicas", "2", "--wait")
        yield Installed(on, json.loads(on.headrace("token", "create", "chat", "--json"))["token"])


def replicas(on: Machine) -> set[str]:
    """Return the processes of the replicas' shims."""
    return on.pids("headrace-agent", "shim.py")


def test_each_service_is_ready_under_its_own_account_and_cannot_read_the_installation(installed: Installed) -> None:
    on = installed.on
    accounts = set()
    for unit in UNITS:
        state, status, pid = on.shows(unit, "ActiveState", "StatusText", "MainPID")
        assert (state, status.partition(";")[0]) == ("active", "ready"), status  # open files are the engine's to bound
        accounts.add(on.runs("ps", "-o", "user=", "-p", pid).strip())
        assert on.tries("nsenter", "-t", pid, "-m", "test", "-e", "/etc/headrace/installation.json").returncode == 1
    assert len(accounts) == len(UNITS)
    assert "root" not in accounts
    assert on.headrace("systemd", "install", "/etc/headrace").startswith("nothing to do: headrace-manager.service")


@pytest.mark.parametrize("unit", UNITS)
async def test_no_request_is_lost_while_a_unit_is_restarted(installed: Installed, unit: str) -> None:
    before, (pid,) = replicas(installed.on), installed.on.shows(unit, "MainPID")
    async with installed.under_load() as told:
        await asyncio.to_thread(installed.on.runs, "systemctl", "restart", unit)
    assert told == {"200": told.total()}
    assert installed.on.shows(unit, "MainPID") != [pid]
    assert replicas(installed.on) == before
    assert len(before) == 2


@pytest.mark.parametrize("unit", ["headrace-appproxy.service", "headrace-agent.service"])
async def test_no_request_is_lost_when_a_main_process_is_killed(installed: Installed, unit: str) -> None:
    """An app-proxy's workers go on without it, and so do an agent's replicas."""
    before, on = replicas(installed.on), installed.on
    (pid,) = on.shows(unit, "MainPID")
    async with installed.under_load() as told:
        await asyncio.to_thread(on.runs, "kill", "-9", pid)

        async def again() -> bool:
            state, other = await asyncio.to_thread(on.shows, unit, "ActiveState", "MainPID")
            return state == "active" and other not in {"0", pid}

        await eventually(again, every_s=0.2)
    assert told == {"200": told.total()}
    assert replicas(on) == before


async def test_a_service_that_hangs_is_restarted_and_says_where_it_hung(installed: Installed) -> None:
    on, unit = installed.on, "headrace-autoscaler.service"
    on.runs("mkdir", "-p", f"/run/systemd/system/{unit}.d")
    on.runs("sh", "-c", f"printf '[Service]\nWatchdogSec=2\n' >/run/systemd/system/{unit}.d/soon.conf")
    on.runs("systemctl", "daemon-reload")
    on.runs("systemctl", "restart", unit)
    (pid,) = on.shows(unit, "MainPID")
    on.runs("kill", "-STOP", pid)

    async def again() -> bool:
        state, other, restarts = await asyncio.to_thread(on.shows, unit, "ActiveState", "MainPID", "NRestarts")
        return (state, restarts) == ("active", "1") and other != pid

    await eventually(again, every_s=0.2)
    log = on.runs("journalctl", "--no-pager", "-o", "cat", "-u", unit)
    assert "Watchdog timeout" in log
    assert "Fatal Python error: Aborted" in log
    on.runs("rm", "-r", f"/run/systemd/system/{unit}.d")
    on.runs("systemctl", "daemon-reload")


async def test_what_a_start_waits_for_is_in_its_status(installed: Installed) -> None:
    """A server that is away is waited for, longer than a start may last; nothing is restarted in vain."""
    on, unit = installed.on, "headrace-autoscaler.service"
    on.runs("systemctl", "stop", "tls-redis")
    on.runs("systemctl", "restart", "--no-block", unit)

    async def waits() -> bool:
        state, status = await asyncio.to_thread(on.shows, unit, "ActiveState", "StatusText")
        return state == "activating" and status.startswith("waiting: redis: ")

    await eventually(waits, every_s=0.2)
    on.runs("systemctl", "start", "tls-redis")
    await eventually(lambda: on.shows(unit, "ActiveState", "StatusText") == ["active", "ready"], every_s=0.2)


def test_the_unit_of_an_agent_lets_it_close_replica_ports(installed: Installed) -> None:
    """All that the unit leaves an agent of the Docker runtime is left here, and nft is run instead of it."""
    on, left_out = (
        installed.on,
        ("LoadCredential", "Environment", "ExecStart", "Restart", "Type", "Watchdog", "NotifyAccess"),
    )
    unit = (ROOT / "deploy/systemd/headrace-agent.service").read_text()
    kept = [line for line in unit.splitlines() if not line.startswith(left_out)]
    run = "[Service]\nType=oneshot\nExecStart=nft -f /etc/replica-ports.nft\n"
    on.runs("tee", "/run/systemd/system/closes.service", given="\n".join(kept).replace("[Service]\n", run))
    filtered = PortFilter("headrace_x", PortRange(20_000, 20_999), [ip_network("10.0.1.0/24"), ip_network("fd00::/64")])
    on.runs("tee", "/etc/replica-ports.nft", given=filtered.script())
    on.runs("systemctl", "start", "closes")
    assert "tcp dport 20000-20999 drop" in on.runs("nft", "list", "table", "inet", "headrace_x")
    on.runs("nft", "delete", "table", "inet", "headrace_x")


async def test_after_a_reboot_everything_comes_back(installed: Installed) -> None:
    on = installed.on
    await asyncio.to_thread(on.reboot)
    for unit in UNITS:
        await eventually(lambda unit=unit: on.shows(unit, "ActiveState") == ["active"], every_s=0.5, within_s=120)
    await asyncio.to_thread(on.headrace, "service", "wait", "chat")
    assert await installed.asks() == "200"
    assert len(replicas(on)) == 2


async def test_uninstalling_stops_and_removes_all_but_data(installed: Installed) -> None:
    on = installed.on
    dry = json.loads(on.headrace("systemd", "uninstall", "--dry-run", "--json"))
    assert (dry["units"], dry["done"]) == (UNITS, False)
    assert f"remove /etc/systemd/system/{UNITS[0]}" in dry["steps"]
    said = on.tries("/opt/headrace/bin/python", "-m", "headrace.cli", "systemd", "uninstall")
    assert said.returncode == 0
    assert "/var/lib/headrace/folders is left: the data of the manager" in said.stderr.decode()
    assert on.tries("systemctl", "list-unit-files", "--no-legend", "headrace-*").stdout == b""
    assert len(replicas(on)) == 2  # they serve on, for an agent that is installed again
    on.headrace("systemd", "install", "/etc/headrace", "--now")
    await asyncio.to_thread(on.headrace, "service", "wait", "chat")
    assert await installed.asks() == "200"
    on.headrace("systemd", "uninstall", "--delete-data")
    await eventually(lambda: on.pids("headrace-agent", ".") == set(), every_s=0.5)
    assert on.runs("ls", "/var/lib/headrace").split() == ["agents", "nats", "redis"]


async def test_a_machine_that_joins_runs_its_agent_as_a_unit(installed: Installed) -> None:
    """By the printed line: enabled, serving, over a restart and a reboot; the same line mends what was left undone."""
    on = installed.on
    on.headrace("systemd", "uninstall", "--service", "agent", "--delete-data")
    on.headrace("systemd", "install", "/etc/headrace", "--service", "manager", "--service", "appproxy", "--now")
    on.headrace("service", "rm", "chat", "--yes")

    def status(agent: str) -> str:
        return {one["id"]: str(one["status"]) for one in json.loads(on.headrace("agent", "ls", "--json"))}.get(
            agent, ""
        )

    await eventually(lambda: status("agent-1") != "alive", every_s=2)
    folders = "--dir /etc/headrace-gpu-7 --data-dir /var/lib/headrace/gpu-7"
    join = f"{on.headrace('agent', 'join-token').strip()} --name gpu-7 --runtime process --simulated-gpus 1 {folders}"
    said = on.runs("sh", "-c", join)
    assert "gpu-7 runs as a service, also after a reboot: systemctl status headrace-agent\n" in said
    assert on.runs("systemctl", "is-enabled", "headrace-agent").strip() == "enabled"
    assert on.shows("headrace-agent.service", "ActiveState", "StatusText") == ["active", "ready"]

    on.copy(EXAMPLE, "/tmp/chat")
    on.headrace("folder", "create", "joined")
    on.headrace("folder", "upload", "joined", "/tmp/chat")
    on.headrace("service", "create", "joined", "--folder", "joined", "--replicas", "1", "--wait")
    there = Installed(on, json.loads(on.headrace("token", "create", "joined", "--json"))["token"], "joined")
    assert await there.asks() == "200"
    before = replicas(on)
    on.runs("systemctl", "restart", "headrace-agent")
    assert (replicas(on), await there.asks()) == (before, "200")
    await asyncio.to_thread(on.reboot)
    await eventually(
        lambda: on.shows("headrace-agent.service", "ActiveState", "StatusText") == ["active", "ready"],
        every_s=0.5,
        within_s=120,
    )
    await asyncio.to_thread(on.headrace, "service", "wait", "joined")
    assert (await there.asks(), len(replicas(on))) == ("200", 1)

    on.headrace("systemd", "uninstall", "--service", "appproxy", "--service", "autoscaler")
    secret = "sed -n 's/^redis_url = \"\\(.*\\)\"$/\\1/p' /etc/headrace/settings/autoscaler.toml >/root/redis-url"
    on.runs("sh", "-c", secret)
    for kind, service in (("proxy", "appproxy"), ("autoscaler", "autoscaler")):
        folders = f"--dir /etc/headrace-{kind}-7 --data-dir /var/lib/headrace/{kind}-7"
        other = f"{on.headrace(kind, 'join-token').strip()} --name {kind}-7 {folders}"
        if service == "autoscaler":
            refused = on.tries("sh", "-c", other)
            assert (refused.returncode, b"Redis: see above; nothing was changed" in refused.stderr) == (1, True)
        said = on.runs("sh", "-c", f"{other} --redis-url-file /root/redis-url")
        assert f"{kind}-7 runs as a service, also after a reboot: systemctl status headrace-{service}\n" in said
        assert on.runs("systemctl", "is-enabled", f"headrace-{service}").strip() == "enabled"
        state, text = on.shows(f"headrace-{service}.service", "ActiveState", "StatusText")
        assert (state, text.partition(";")[0]) == ("active", "ready"), text
        on.runs("test", "-s", f"/var/lib/headrace/{kind}-7/identity.creds")
    assert on.runs("systemctl", "is-enabled", "headrace-appproxy.socket").strip() == "enabled"
    assert await there.asks() == "200"

    on.headrace("systemd", "uninstall", "--service", "agent")
    assert "start it: HEADRACE_AGENT_CONFIG=" in on.runs("sh", "-c", f"{join} --no-service")
    assert on.tries("systemctl", "cat", "headrace-agent").returncode != 0
    on.runs("mv", "/etc/headrace-gpu-7/tls", "/etc/headrace-gpu-7/away")
    failed = on.tries("sh", "-c", join)
    on.runs("mv", "/etc/headrace-gpu-7/away", "/etc/headrace-gpu-7/tls")
    assert failed.returncode == 1
    (line,) = failed.stderr.decode().splitlines()
    assert line.startswith("headrace-agent join: gpu-7 has joined, and its service does not run yet: ")
    assert "/etc/headrace-gpu-7 lacks tls/ca.crt, which the agent needs; allowed: " in line
    on.runs("sh", "-c", line.rpartition("Mend it and run: ")[2])
    assert on.shows("headrace-agent.service", "ActiveState", "StatusText") == ["active", "ready"]
    assert await there.asks() == "200"
