"""`status`, `down` and `login` of a stack on this machine, which a state file stands for."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.cli.commands.stack_console import print_link, print_link_later
from headrace.cli.config import Config, Login
from headrace.embedded.proc import ProcessId
from headrace.embedded.state import Phase, ProcessState, StackState, write_state
from tests.support.fakes.manager_api import KEY, NOW, FakeManagerApi, service_view, uid
from tests.support.wait import until
from tests.support.worlds.cli import Cli

AGENT: dict[str, Any] = {
    "id": "agent-1",
    "status": "alive",
    "resource_group": "default",
    "hostname": "host-1",
    "architecture": "x86_64",
    "address": "10.0.0.1",
    "runtime": "process",
    "version": "1",
    "slots": {"cpu": "8"},
    "allocated": {},
    "plan_generation": 1,
    "applied_generation": 1,
    "last_seen_at": NOW,
}
DISK = {"free_bytes": 1 << 20, "total_bytes": 1 << 30, "reserve_bytes": 1 << 25}
ME = {"user": {"id": uid(9), "name": "admin", "operator": True, "created_at": NOW}, "projects": {"default": "owner"}}


@pytest.fixture
def started_stack(home: Path, there: FakeManagerApi) -> Path:
    """A stack whose supervisor is this process, and whose manager is the fake; it is known, and nobody is logged in."""
    return started(home, there, "stack")


def started(
    home: Path, there: FakeManagerApi, name: str, *, phase: Phase = Phase.RUNNING, restarting: bool = False
) -> Path:
    data = home / name
    data.mkdir(mode=0o700)
    me = ProcessId.of(os.getpid())
    assert me is not None
    (data / "admin-key").write_text(KEY + "\n")
    log = data / "logs"
    parts = {"postgres": None, "manager": there.url, "appproxy": "http://127.0.0.1:15001"}
    write_state(
        StackState(
            phase=phase,
            pid=me.pid,
            ticks=me.ticks,
            boot=me.boot,
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            data=data,
            runtime="process",
            agents=1,
            simulate_gpus=0,
            api_url=there.url,
            proxy_url="http://127.0.0.1:8000",
            admin_key_file=data / "admin-key",
            processes=tuple(
                ProcessState(
                    name=part,
                    pid=None if restarting and part == "appproxy" else me.pid,
                    port=8000,
                    admin_url=url,
                    log=log / f"{part}.log",
                    restarts=0,
                )
                for part, url in parts.items()
            ),
        )
    )
    Config({"HOME": str(home)}).stacks.remember(data)
    there.on("GET", "/v1/services", {"items": [], "next": None})
    there.on("GET", "/v1/agents", {"items": [AGENT], "next": None})
    return data


def test_status_shows_where_each_service_tells_whether_it_can_serve(bare: Cli, started_stack: Path) -> None:
    ran = bare("status")
    assert ran.code == 0
    rows = {line.split()[0]: line for line in ran.out.splitlines() if line.strip()}
    assert "127.0.0.1:8000" in rows["appproxy"]
    assert "http://127.0.0.1:15001" in rows["appproxy"]
    assert " - " in rows["postgres"]
    assert "/readyz" in ran.out
    assert "/metrics" in ran.out
    parts = bare("status", "--json").json["stack"]["processes"]
    assert {part["name"]: part["admin_url"] for part in parts}["appproxy"] == "http://127.0.0.1:15001"
    assert str(started_stack) in ran.out


def test_a_state_of_an_earlier_version_names_no_such_address(bare: Cli, started_stack: Path) -> None:
    file = started_stack / "state.json"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "admin_url" not in line))
    ran = bare("status")
    assert ran.code == 0
    assert "/readyz" not in ran.out


def test_a_part_that_is_restarted_makes_the_stack_degraded_and_names_its_log(
    bare: Cli, home: Path, there: FakeManagerApi
) -> None:
    data = started(home, there, "stack", restarting=True)
    ran = bare("status")
    assert ran.code == 1
    assert "is degraded" in ran.out
    assert f"hint: appproxy is being restarted; its log: {data}/logs/appproxy.log" in ran.out


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.STOPPING])
def test_a_stack_that_does_not_serve_yet_or_any_more_is_asked_nothing(
    bare: Cli, home: Path, there: FakeManagerApi, phase: Phase
) -> None:
    data = started(home, there, "stack", phase=phase)
    ran = bare("status", "--data", data)
    assert (ran.code, f"is {phase}" in ran.out) == (0, True)
    assert there.seen == []


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"status": "lost"}, "agent agent-1 was last heard of"),
        ({"disk": DISK}, "agent agent-1 has little room"),
        ({"address_problem": "it is at 10.0.0.2"}, "agent agent-1 is not where it may be; it is at 10.0.0.2"),
    ],
)
@pytest.mark.parametrize("server", ["--url", "--data"])
def test_a_machine_that_is_impaired_is_said(
    bare: Cli, there: FakeManagerApi, started_stack: Path, changes: dict[str, Any], hint: str, server: str
) -> None:
    there.on("GET", "/v1/agents", {"items": [AGENT | changes], "next": None})
    ran = bare(server, {"--url": there.url, "--data": started_stack}[server], "status")
    assert ran.code == 1
    assert f"hint: {hint}" in ran.out


def test_machines_are_left_out_for_who_is_no_operator(bare: Cli, there: FakeManagerApi, started_stack: Path) -> None:
    del there.answers["GET", "/v1/agents"]
    ran = bare("--url", there.url, "status", "--json")
    assert (ran.code, ran.json["status"], ran.json["agents"]) == (0, "up", [])


@pytest.mark.parametrize("variable", ["HEADRACE_URL", "HEADRACE_API_KEY"])
def test_a_server_that_the_environment_names_is_meant_rather_than_the_stack_here(
    bare: Cli, started_stack: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:1") if variable == "HEADRACE_URL" else None
    monkeypatch.setenv("HEADRACE_API_KEY", "hr_wrong" if variable == "HEADRACE_API_KEY" else KEY)
    ran = bare("status")
    assert ran.code == {"HEADRACE_URL": 3, "HEADRACE_API_KEY": 4}[variable]
    assert str(started_stack) not in ran.out


def test_a_server_that_was_logged_in_to_is_meant_rather_than_the_stack_here(
    bare: Cli, home: Path, started_stack: Path, there: FakeManagerApi
) -> None:
    Config().store(Login(url="http://127.0.0.1:1", key=KEY))
    ran = bare("status")
    assert (ran.code, "http://127.0.0.1:1 is down" in ran.out) == (3, True)
    Config().store(Login(url=there.url, key=KEY))
    assert str(started_stack) in bare("status").out


def test_a_server_that_knows_no_such_key_is_not_said_to_be_down(bare: Cli, there: FakeManagerApi, home: Path) -> None:
    """Nobody is told more; exit status 4, as with all commands."""
    ran = bare("--url", there.url, "status", "--json")
    assert (ran.code, ran.json["status"]) == (4, "unknown")
    ran = bare("--url", there.url, "status")
    assert ran.code == 4
    assert "is down" not in ran.out


def test_many_services_are_counted(bare: Cli, there: FakeManagerApi, started_stack: Path) -> None:
    services = [service_view(f"s{n}", phase="failed" if n == 0 else "deployed") for n in range(30)]
    there.on("GET", "/v1/services", {"items": services, "next": None})
    ran = bare("status")
    assert "30 services in all: 30 unhealthy" in ran.out
    assert "s19" in ran.out
    assert "s20" not in ran.out
    assert "hint: service s0: it is failed" in ran.out


def test_nothing_that_runs_is_said_with_how_to_start_it(bare: Cli, home: Path) -> None:
    ran = bare("status", "--data", home / "none")
    assert ran.code == 3
    assert f"start it: headrace up --data {home}/none" in ran.out
    assert bare("down", "--data", home / "none").code == 3


def test_of_several_stacks_one_has_to_be_named(bare: Cli, home: Path, there: FakeManagerApi) -> None:
    first, second = started(home, there, "one"), started(home, there, "two")
    for words in (["status"], ["down"], ["login"], ["service", "ls"]):
        ran = bare(*words)
        assert ran.code == 2
        assert "several stacks run here" in ran.err
    assert str(first) in bare("status", "--data", first).out
    assert str(second) in bare("--data", second, "status").out


def test_a_login_to_the_stack_here_keeps_its_folder_and_no_key(
    bare: Cli, home: Path, there: FakeManagerApi, started_stack: Path
) -> None:
    there.on("GET", "/v1/whoami", ME)
    assert bare("login").code == 0
    kept = (home / ".config/headrace/config.json").read_text()
    assert str(started_stack) in kept
    assert KEY not in kept
    assert bare("whoami", "--json").json["user"]["name"] == "admin"
    assert bare("logout", "--json").json == {"logged_out": True}
    assert bare("logout", "--json").json == {"logged_out": False}


def test_a_login_needs_a_server_or_a_stack(bare: Cli, home: Path) -> None:
    assert bare("login").code == 3
    ran = bare("login", "--key", KEY)
    assert (ran.code, "--key needs --url" in ran.err) == (2, True)


CODE = {"code": "hrc_secret", "path": "/console/login#code=hrc_secret", "expires_at": NOW}


def test_up_prints_a_link_that_logs_in_to_the_console_once(
    started_stack: Path, there: FakeManagerApi, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    there.on("POST", "/v1/login-codes", CODE, status=201)
    lines: list[str] = []
    print_link_later(started_stack, lines.append)
    until(lambda: lines and not lines[-1])
    assert lines == [
        f"  console    {there.url}/console/login#code=hrc_secret",
        "             (logs you in once, within a minute; another link: headrace console)",
        "",
    ]
    there.on("POST", "/v1/login-codes", {"type": "about:blank", "title": "no", "status": 409}, status=409)
    lines.clear()
    print_link(started_stack, lines.append)
    assert lines == ["  console    its link could not be made; `headrace console` makes one and says why not", ""]
