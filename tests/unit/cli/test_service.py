"""`headrace service`: flags become the request that is meant, waiting ends on failure too, logs come line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from headrace.cli.commands.service import logs as service_logs
from tests.support.fakes.manager_api import NOW, FakeManagerApi, problem, service_view, uid
from tests.support.worlds.cli import Cli

ECHO = "/v1/services/echo"
HEALTHY: dict[str, Any] = {"status": "healthy", "phase": "deployed", "healthy_replicas": 1}
REPLICA = {
    "id": uid(7),
    "kernel_id": uid(8),
    "revision": 1,
    "status": "running",
    "kernel_state": "running",
    "health": "degraded",
    "reason": {"code": "no-checks-yet", "text": "no checks yet"},
    "agent_id": "agent-1",
    "address": "10.0.0.1:20000",
    "created_at": NOW,
}
FAILED = service_view(
    phase="failed",
    errors=[{"at": NOW, "session_id": uid(7), "reason": {"code": "exited", "text": "ended with exit code 3"}}],
)


def _revision(number: int, **spec: Any) -> dict[str, Any]:
    return {"number": number, "spec": spec, "created_at": NOW, "created_by": "admin", "message": ""}


def test_create_sends_what_was_given_and_nothing_else(cli: Cli, there: FakeManagerApi, tmp_path: Path) -> None:
    there.on("POST", "/v1/services", service_view(), status=201)
    (tmp_path / "env").write_text("A=file\nB=file\n")
    ran = cli(
        "service",
        "create",
        "echo",
        "--folder",
        "chat",
        "-n",
        2,
        "--slot",
        "cpu=2",
        "--slot",
        "mem=4g",
        "--env-file",
        tmp_path / "env",
        "-e",
        "B=flag",
        "--mount",
        "corpus:/data",
        "--public",
        "--tag",
        "x",
        "--metadata",
        "k=v",
        "--runtime",
        "custom",
        "--drain-grace",
        5,
        "--port",
        9000,
    )
    assert ran.code == 0, ran.err
    assert there.bodies == [
        {
            "name": "echo",
            "folder": "chat",
            "runtime": "custom",
            "replicas": 2,
            "slots": {"cpu": "2", "mem": str(4 * 2**30)},
            "environ": {"A": "file", "B": "flag"},
            "extra_mounts": [{"folder": "corpus", "target": "/data"}],
            "open_to_public": True,
            "tags": ["x"],
            "metadata": {"k": "v"},
            "drain_grace_s": 5.0,
            "port": 9000,
        }
    ]


def test_create_takes_a_file_and_flags_win(cli: Cli, there: FakeManagerApi, tmp_path: Path) -> None:
    there.on("POST", "/v1/services", service_view(), status=201)
    (tmp_path / "service.yaml").write_text("name: echo\nfolder: chat\nreplicas: 3\nslots: {cpu: 1, mem: 1g}\n")
    assert cli("service", "create", "--file", tmp_path / "service.yaml", "--replicas", 1, "--slot", "cpu=2").code == 0
    assert there.bodies[0] == {
        "name": "echo",
        "folder": "chat",
        "replicas": 1,
        "slots": {"cpu": "2", "mem": str(2**30)},
    }


def test_what_is_wrong_is_not_sent(cli: Cli, there: FakeManagerApi, tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text("name: echo\nreplica: 3\n")
    unknown = cli("service", "create", "-f", tmp_path / "service.yaml")
    assert unknown.code == 2
    assert "replica: found 3" in unknown.err
    assert "allowed: no field of this name" in unknown.err
    assert cli("service", "create", "--folder", "chat").code == 2
    assert cli("service", "create", "NAME").code == 2
    assert cli("service", "create", "echo", "--slot", "cpu=lots").code == 2
    assert there.bodies == []


def test_create_and_wait_shows_what_happens(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", "/v1/services", service_view(), status=201)
    there.on(
        "GET", ECHO, service_view(replica_list=[REPLICA]), service_view(replica_list=[REPLICA]), service_view(**HEALTHY)
    )
    ran = cli("service", "create", "echo", "--wait")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("echo: unhealthy, deploying, 0/1")
    assert [line for line in lines if "no checks yet" in line] == [
        f"  replica {uid(7)}  running  degraded  agent-1  10.0.0.1:20000  no checks yet"
    ], "what has not changed is not said again"
    assert lines[-2:] == ["echo is healthy, deployed: 1 of 1 replicas healthy", "endpoint: http://proxy/echo"]


def test_with_json_only_the_result_is_printed(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", ECHO, service_view(), service_view(**HEALTHY))
    ran = cli("service", "wait", "echo", "--json")
    assert (ran.code, ran.json["status"], ran.err) == (0, "healthy", "")


def test_waiting_ends_on_failure_with_reason_and_log(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", ECHO, service_view(), FAILED)
    there.log_lines = [b"2026-01-01T12:00:00.000Z cannot find weights\n"]
    ran = cli("service", "wait", "echo")
    assert ran.code == 5
    assert "it is failed" in ran.err
    assert "| 2026-01-01T12:00:00.000Z cannot find weights" in ran.err
    assert any(f"replica={uid(7)}" in path for _, path in there.seen), "the log of the replica that failed"


def test_waiting_ends_in_time(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", ECHO, service_view())
    ran = cli("--json", "service", "wait", "echo", "--timeout", 1)
    assert ran.code == 5
    found = json.loads(ran.err)
    assert (found["type"], found["reason"]["code"]) == ("wait-timeout", "starting")


def test_waiting_for_what_does_not_exist_or_is_stopped(cli: Cli, there: FakeManagerApi) -> None:
    assert cli("service", "wait", "nope").code == 5
    there.on("GET", ECHO, service_view(phase="stopped"))
    ran = cli("service", "wait", "echo")
    assert (ran.code, "hint: headrace service start echo" in ran.err) == (5, True)
    assert cli("service", "wait", "echo", "--for", "stopped").code == 0
    gone = cli("service", "wait", "nope", "--for", "gone")
    assert (gone.code, gone.out) == (0, "nope is gone\n")


def test_update_changes_the_current_spec_and_keeps_the_rest(cli: Cli, there: FakeManagerApi) -> None:
    """After a roll-back the current revision is not the newest one."""
    current = _revision(2, folder="chat", environ={"A": "1", "B": "2"}, slots={"cpu": "1", "mem": "1073741824"})
    revisions = [_revision(1, folder="old"), current, _revision(3, folder="failed")]
    there.on("GET", ECHO, service_view(revision=2))
    there.on("GET", f"{ECHO}/revisions", {"items": revisions, "next": None})
    there.on("PATCH", ECHO, service_view())
    ran = cli("service", "update", "echo", "-e", "C=3", "--unset-env", "A", "--slot", "cpu=2", "-m", "why")
    assert ran.code == 0, ran.err
    (sent,) = there.bodies
    assert sent["spec"] == {
        "folder": "chat",
        "environ": {"B": "2", "C": "3"},
        "slots": {"cpu": "2", "mem": "1073741824"},
    }
    assert sent["message"] == "why"


def test_update_of_what_was_changed_meanwhile_is_made_again_of_what_is_there_then(
    cli: Cli, there: FakeManagerApi
) -> None:
    """Else the change that came between reading and writing would be lost: a spec is sent whole."""
    theirs = [_revision(1, folder="chat"), _revision(2, folder="chat", environ={"B": "2"})]
    there.on("GET", ECHO, service_view(etag="one"), service_view(revision=2, etag="two"))
    there.on("GET", f"{ECHO}/revisions", {"items": theirs, "next": None})
    there.on("PATCH", ECHO, lambda: problem("precondition-failed", 412), lambda: web.json_response(service_view()))
    ran = cli("service", "update", "echo", "-e", "C=3")
    assert ran.code == 0, ran.err
    assert [sent["spec"]["environ"] for sent in there.bodies] == [{"C": "3"}, {"B": "2", "C": "3"}]
    assert [sent["If-Match"] for sent in there.headers if "If-Match" in sent] == ['"one"', '"two"']
    there.on("PATCH", ECHO, lambda: problem("precondition-failed", 412))
    assert cli("service", "update", "echo", "-e", "C=3", "--if-match", "seen").code == 1
    assert [sent["If-Match"] for sent in there.headers if "If-Match" in sent][2:] == ['"seen"']


def test_update_without_a_spec_asks_for_none(cli: Cli, there: FakeManagerApi) -> None:
    there.on("PATCH", ECHO, service_view())
    assert cli("service", "update", "echo", "--private").code == 0
    assert there.bodies == [{"open_to_public": False, "message": ""}]
    assert cli("service", "update", "echo").code == 2


def test_scale_rollback_stop_start_retry(cli: Cli, there: FakeManagerApi) -> None:
    there.on("PATCH", ECHO, service_view())
    for verb in ("rollback", "stop", "start", "retry"):
        there.on("POST", f"{ECHO}/{verb}", service_view())
    assert cli("service", "scale", "echo", 0, "-m", "night").code == 0
    assert cli("service", "rollback", "echo", 1, "-m", "bad").code == 0
    for verb in ("stop", "start", "retry"):
        assert cli("service", verb, "echo").code == 0
    assert there.bodies == [{"replicas": 0, "message": "night"}, {"revision": 1, "message": "bad"}]
    assert cli("service", "scale", "echo", "-1").code == 2


def test_rm_asks_and_waits_until_it_is_gone(cli: Cli, there: FakeManagerApi) -> None:
    there.on("DELETE", ECHO, service_view(phase="stopping"), lambda: web.Response(status=204), status=202)
    assert cli("service", "rm", "echo").code == 2
    assert "DELETE" not in {method for method, _ in there.seen}
    later = cli("service", "rm", "echo", "-y")
    assert (later.code, "drains and stops" in later.out) == (0, True)
    assert cli("service", "rm", "echo", "-y", "--json").json == {"deleted": "echo", "gone": True}


def test_rm_with_wait_follows_the_service_by_its_id(cli: Cli, there: FakeManagerApi) -> None:
    there.on("DELETE", ECHO, service_view(phase="stopping"), status=202)
    there.on("GET", f"/v1/services/{uid(1)}", service_view(phase="stopping"), lambda: problem("not-found", 404))
    ran = cli("service", "rm", "echo", "-y", "--wait")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "deleted echo")


def test_all_urls_are_shown_and_what_is_wrong_with_one(cli: Cli, there: FakeManagerApi) -> None:
    served = {"ready": True, "reason": {"code": "served", "text": "served by every app-proxy"}}
    opening = {
        "ready": False,
        "reason": {"code": "endpoint-port-opening", "text": "port 12000 is not open yet at proxy-2"},
    }
    urls = [
        {"kind": "path", "url": "http://proxy/echo", **served},
        {"kind": "host", "url": "http://echo.example.com", **served},
        {"kind": "port", "url": "http://proxy:12000", **opening},
    ]
    there.on("GET", ECHO, service_view(urls=urls, endpoint_port=12_000))
    shown = dict(line.split("  ", 1) for line in cli("service", "show", "echo").out.splitlines() if "  " in line)
    assert shown["by host name"].strip() == "http://echo.example.com"
    assert shown["by own port"].strip() == (
        "http://proxy:12000, not served everywhere: port 12000 is not open yet at proxy-2"
    )
    assert "by path" not in shown
    there.on("GET", "/v1/services", {"items": [service_view(urls=urls)], "next": None})
    assert "http://echo.example.com" not in cli("service", "ls").out
    wide = cli("service", "ls", "-o", "wide").out
    assert wide.splitlines()[1].endswith("http://proxy/echo http://echo.example.com http://proxy:12000")


def test_lists(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services", {"items": [service_view()], "next": None})
    there.on("GET", f"{ECHO}/revisions", {"items": [_revision(1, folder="chat")], "next": None})
    entry = {"id": uid(9), "at": NOW, "actor": "admin", "action": "service.created", "message": "", "details": {}}
    there.on("GET", f"{ECHO}/history", {"items": [entry], "next": None})
    decision = {
        "at": NOW,
        "source": "rule",
        "rule_id": uid(3),
        "from_replicas": 1,
        "to_replicas": 2,
        "observed": 7.5,
        "reason": {"code": "fired", "text": "7.5 is above 5"},
    }
    there.on("GET", f"{ECHO}/decisions", {"items": [decision], "next": None})
    there.on("GET", ECHO, FAILED)
    listed = cli("service", "ls", "--mine", "-q", "ec", "--status", "unhealthy")
    assert listed.code == 0
    assert max(map(len, listed.out.splitlines())) <= 100
    (asked,) = [path for _, path in there.seen if path.startswith("/v1/services?")]
    assert {"mine=true", "q=ec", "status=unhealthy"} <= set(asked.partition("?")[2].split("&"))
    assert "service.created" in cli("service", "history", "echo").out
    assert "1 -> 2" in cli("service", "decisions", "echo").out
    assert cli("service", "revisions", "echo", "--json").json[0]["spec"]["folder"] == "chat"
    assert "ended with exit code 3" in cli("service", "errors", "echo").out
    shown = cli("service", "show", "echo").out
    assert "headrace service retry echo" in shown


EFFECTIVE = {
    "runtime": "custom",
    "model_name": "m",
    "image": "img:1",
    "architecture": None,
    "command": ["sh", "-c", "serve it"],
    "port": 8000,
    "model_path": "/models",
    "slots": {"cpu": "2"},
    "environ": {"B": "two words", "A": "1"},
    "health_check": {"path": "/health", "initial_delay": 5},
    "mounts": [
        {"folder_id": uid(5), "folder": "chat", "target": "/models", "read_only": True},
        {"folder_id": uid(6), "folder": "corpus", "target": "/data", "read_only": False},
    ],
    "pre_start_actions": [
        {"action": "write_file", "args": {"filename": "/etc/x", "body": "hello"}},
        {"action": "run_command", "args": {"command": ["ls", "a b"]}},
    ],
}


def _facts(out: str) -> list[str]:
    return [" ".join(line.split()) for line in out.splitlines()]


def test_show_says_what_replicas_are_started_with(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", ECHO, service_view(folder_id=uid(5), effective=EFFECTIVE))
    lines = _facts(cli("service", "show", "echo").out)
    started_with = [
        "folder chat",
        "command sh -c 'serve it'",
        "port 8000 in the container",
        "health check GET /health every 10 s, first after 5 s; expects 200 within 15 s; unhealthy after more than 10 failures in a row",
        "mount chat at /models, read only",
        "mount corpus at /data, read and write",
        "variable A=1",
        "variable B=two words",
        "pre-start action write_file /etc/x (5 bytes)",
        "pre-start action run_command ls 'a b'",
    ]
    assert [line for line in lines if line in started_with] == started_with
    assert cli("service", "show", "echo", "--json").json["effective"]["environ"] == EFFECTIVE["environ"]
    bare = {**EFFECTIVE, "command": [], "health_check": None, "mounts": [], "environ": {}, "pre_start_actions": []}
    there.on("GET", ECHO, service_view(effective=bare))
    lines = _facts(cli("service", "show", "echo").out)
    assert {"command the image's own", "mount none", "variable none", "pre-start action none"} <= set(lines)
    assert "health check none: ready when the port accepts a connection" in lines
    there.on("GET", ECHO, service_view())
    assert cli("service", "show", "echo").code == 0, "a manager of an earlier version does not tell"


def test_an_older_revision_is_shown_as_it_ran(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", f"{ECHO}/revisions/1", {**_revision(1, folder="chat"), "effective": EFFECTIVE})
    lines = _facts(cli("service", "show", "echo", "--revision", 1).out)
    assert {"revision 1", "image img:1", "variable A=1", "mount corpus at /data, read and write"} <= set(lines)
    assert cli("service", "show", "echo", "--revision", 1, "--json").json["effective"]["port"] == 8000
    assert cli("service", "show", "echo", "--revision", 0).code == 2


def test_logs_are_printed_as_they_were_written(cli: Cli, there: FakeManagerApi, tmp_path: Path) -> None:
    line = f"{uid(7)} 2026-01-01T12:00:00.000Z a \x1b[1mbold\x1b[0m word"
    there.log_lines = [f"{line}\nand one without a ti".encode(), b"me\n"]
    assert cli("service", "logs", "echo", "--tail", 5).out == f"{line}\nand one without a time\n"
    first, second = map(json.loads, cli("service", "logs", "echo", "--json").out.splitlines())
    assert first == {"replica": uid(7), "at": "2026-01-01T12:00:00.000Z", "text": "a \x1b[1mbold\x1b[0m word"}
    assert second == {"replica": None, "at": None, "text": "and one without a time"}
    ran = cli("service", "logs", "echo", "--download", tmp_path / "log.txt")
    assert (ran.code, (tmp_path / "log.txt").read_text()) == (0, f"{line}\nand one without a time\n")
    assert any("download=all" in path for _, path in there.seen)


def test_a_download_that_fails_leaves_no_file(bare: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HEADRACE_API_KEY", "k")
    monkeypatch.setattr("headrace.cli.session.PATIENCE_S", 0)
    assert bare("service", "logs", "echo", "--download", tmp_path / "log.txt").code == 3
    assert not any(path.name.startswith((".log", "log")) for path in tmp_path.iterdir())


@pytest.fixture
def endless_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake's log does not end with the trial run, as the manager's does."""
    monkeypatch.setattr(service_logs, "LOG_END_S", 0.2)


def _validation(**changes: Any) -> dict[str, Any]:
    started = {
        "id": uid(4),
        "kind": "validation",
        "status": "running",
        "done": False,
        "verdict": None,
        "started_at": NOW,
    }
    return {**started, "reason": {"code": "validating", "text": "it is tried"}, **changes}


@pytest.mark.usefixtures("endless_log")
@pytest.mark.parametrize(("verdict", "code"), [("passed", 0), ("failed", 5)])
def test_validate_shows_log_and_verdict(cli: Cli, there: FakeManagerApi, verdict: str, code: int) -> None:
    there.on("POST", "/v1/validations", _validation(), status=201)
    done = _validation(
        status="ended", done=True, verdict=verdict, reason={"code": f"validation-{verdict}", "text": f"it {verdict}"}
    )
    there.on("GET", f"/v1/validations/{uid(4)}", _validation(), done)
    there.on("DELETE", f"/v1/validations/{uid(4)}", lambda: web.Response(status=204))
    there.log_lines = [b"2026-01-01T12:00:00.000Z loading\n"]
    ran = cli("service", "validate", "--folder", "chat", "--slot", "cpu=1")
    assert ran.code == code, ran.err
    assert "it is tried" in ran.err
    assert "loading" in ran.err
    assert f"it {verdict} (validation-{verdict})" in ran.out
    assert there.bodies == [{"folder": "chat", "slots": {"cpu": "1"}}]


@pytest.mark.usefixtures("endless_log")
def test_a_trial_run_that_nobody_waits_for_is_stopped(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", "/v1/validations", _validation(), status=201)
    there.on("GET", f"/v1/validations/{uid(4)}", _validation())
    there.on("DELETE", f"/v1/validations/{uid(4)}", lambda: web.Response(status=204))
    ran = cli("service", "validate", "--folder", "chat", "--timeout", 1)
    assert ran.code == 5
    assert ("DELETE", f"/v1/validations/{uid(4)}") in there.seen
