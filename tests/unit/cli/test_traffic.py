"""`headrace service traffic|weight|receipts`: flags become the request that is meant, and what a rollout cost is said."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fakes.manager_api import NOW, FakeManagerApi, service_view, uid
from tests.support.worlds.cli import Cli

ECHO = "/v1/services/echo"
COUNTS = {"started": 5, "finished": 3, "retried": 1, "failed": 0, "cut": 1, "slowest_s": 4.25}
RECEIPT: dict[str, Any] = {
    **COUNTS,
    "replica": uid(7),
    "revision": 1,
    "replaced_by": 2,
    "reason": {"code": "replaced-by-update", "text": "a newer one"},
    "began_at": NOW,
    "ended_at": NOW,
    "proxies": ["proxy-1"],
    "waiting_for": [],
    "complete": True,
}
ROLLOUT: dict[str, Any] = {
    **COUNTS,
    "revision": 2,
    "replicas": 2,
    "draining": 0,
    "began_at": NOW,
    "ended_at": NOW,
    "waiting_for": [],
    "complete": True,
}
SERVES: dict[str, Any] = {"status": "healthy", "phase": "deployed", "healthy_replicas": 1, "revision": 2}


def test_settings_are_changed_one_by_one_and_zero_is_no_limit(cli: Cli, there: FakeManagerApi) -> None:
    there.on("PATCH", ECHO, service_view())
    ran = cli(
        "service",
        "traffic",
        "echo",
        "--balance",
        "prefix",
        "--prefix-bytes",
        64,
        "--max-queued",
        0,
        "--max-in-flight-per-replica",
        0,
        "--max-body-bytes",
        1000,
        "--queue-timeout",
        2.5,
        "--caller-in-flight",
        3,
        "--caller-tokens-per-day",
        0,
        "--model-name",
        "org/m",
        "--model-name",
        "ada",
        "-m",
        "why",
    )
    assert ran.code == 0, ran.err
    assert there.bodies == [
        {
            "balance": {"policy": "prefix", "prefix_bytes": 64},
            "limits": {
                "max_in_flight_per_replica": None,
                "max_queued": 0,
                "queue_timeout_s": 2.5,
                "max_body_bytes": 1000,
            },
            "caller_limits": {"in_flight": 3, "tokens_per_day": None},
            "models": ["org/m", "ada"],
            "message": "why",
        }
    ]


def test_without_a_setting_they_are_shown(cli: Cli, there: FakeManagerApi) -> None:
    view = service_view(
        models=["org/m"],
        balance={"policy": "session", "session_key": "body:user"},
        limits={"max_queued": 7, "queue_timeout_s": 2.5},
        caller_limits={"in_flight": 3},
    )
    there.on("GET", ECHO, view)
    for command in ("traffic", "show"):
        shown = cli("service", command, "echo").out
        for words in (
            "http://proxy/v1",
            "org/m",
            "session, session key body:user",
            "max queued 7, queue timeout 2.5 s",
            "in flight 3",
        ):
            assert words in shown
    found = cli("service", "traffic", "echo", "--json").json
    assert (found["balance"]["policy"], found["limits"]["max_queued"], found["limits"]["idle_timeout_s"]) == (
        "session",
        7,
        300,
    )
    assert there.bodies == []
    there.on("GET", ECHO, service_view())
    assert "least-in-flight" in cli("service", "traffic", "echo").out


def test_all_goes_back_and_models_are_taken_away(cli: Cli, there: FakeManagerApi) -> None:
    there.on("PATCH", ECHO, service_view())
    assert cli("service", "traffic", "echo", "--reset").code == 0
    assert cli("service", "traffic", "echo", "--model-name", "").code == 0
    assert there.bodies == [
        {"balance": None, "limits": None, "caller_limits": None, "models": [], "cors": None, "message": ""},
        {"models": [], "message": ""},
    ]
    assert cli("service", "traffic", "echo", "--reset", "--max-queued", 1).code == 2


def test_cors_is_set_shown_and_taken_away(cli: Cli, there: FakeManagerApi) -> None:
    there.on("PATCH", ECHO, service_view())
    ran = cli(
        "service",
        "traffic",
        "echo",
        "--cors-origin",
        "https://app.example.com",
        "--cors-origin",
        "https://*.example.com",
        "--cors-header",
        "Authorization",
        "--cors-expose",
        "X-Model",
        "--cors-credentials",
        "--cors-max-age",
        0,
    )
    assert ran.code == 0, ran.err
    assert cli("service", "traffic", "echo", "--cors-origin", "", "--no-cors-credentials").code == 0
    assert cli("service", "update", "echo", "--unset", "cors").code == 0
    cors = {
        "allow_origins": ["https://app.example.com", "https://*.example.com"],
        "allow_headers": ["Authorization"],
        "expose_headers": ["X-Model"],
        "allow_credentials": True,
        "max_age_s": 0,
    }
    assert [body["cors"] for body in there.bodies] == [cors, {"allow_origins": [], "allow_credentials": False}, None]
    there.on("GET", ECHO, service_view(cors=cors))
    for command in ("traffic", "show"):
        shown = cli("service", command, "echo").out
        assert (
            "https://app.example.com https://*.example.com, allow headers Authorization, expose headers X-Model,"
            " allow credentials true, max age 0 s"
        ) in " ".join(shown.split())
    assert cli("service", "traffic", "echo", "--json").json["cors"] == cors
    there.on("GET", ECHO, service_view())
    assert "left to the replica" in cli("service", "traffic", "echo").out


def test_a_service_is_made_with_them_and_flags_win_over_the_file(
    cli: Cli, there: FakeManagerApi, tmp_path: Any
) -> None:
    there.on("POST", "/v1/services", service_view(), status=201)
    (tmp_path / "s.yaml").write_text("balance: {policy: prefix, prefix_bytes: 64}\nmodels: [a]\n")
    ran = cli("service", "create", "echo", "-f", tmp_path / "s.yaml", "--balance", "round-robin", "--max-queued", 5)
    assert ran.code == 0, ran.err
    assert there.bodies == [
        {
            "name": "echo",
            "balance": {"policy": "round-robin", "prefix_bytes": 64},
            "limits": {"max_queued": 5},
            "models": ["a"],
        }
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["traffic", "echo", "--balance", "random"],
        ["traffic", "echo", "--session-key", "query:x"],
        ["traffic", "echo", "--prefix-bytes", "1"],
        ["traffic", "echo", "--max-queued", "-1"],
        ["traffic", "echo", "--queue-timeout", "0"],
        ["traffic", "echo", "--load-factor", "nan"],
        ["traffic", "echo", "--model-name", "a b"],
        ["traffic", "echo", "--model-name", "a", "--model-name", "a"],
        ["traffic", "echo", "-m", "why"],
        ["traffic", "echo", "--cors-origin", "app.example.com"],
        ["traffic", "echo", "--cors-max-age", "-1"],
        ["weight", "echo", uid(7), "0.5"],
        ["weight", "echo", uid(7), "-1"],
        ["weight", "echo", uid(7), "10001"],
        ["weight", "echo", uid(7)],
        ["receipts", "echo", "--revision", "0"],
    ],
)
def test_what_is_refused_is_not_sent(cli: Cli, there: FakeManagerApi, words: list[str]) -> None:
    ran = cli("service", *words)
    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err
    assert there.bodies == []


def test_a_weight(cli: Cli, there: FakeManagerApi) -> None:
    replica = {
        "id": uid(7),
        "kernel_id": uid(8),
        "revision": 1,
        "status": "running",
        "kernel_state": "running",
        "health": "healthy",
        "reason": {"code": "ok", "text": "fine"},
        "agent_id": "agent-1",
        "address": "10.0.0.1:20000",
        "weight": 0,
        "created_at": NOW,
    }
    there.on("PUT", f"{ECHO}/replicas/{uid(7)}/weight", replica)
    ran = cli("service", "weight", "echo", uid(7), 0)
    assert (ran.code, there.bodies) == (0, [{"weight": 0}])
    assert "10.0.0.1:20000  weight 0  fine" in ran.out
    assert cli("service", "weight", "echo", uid(7), 0, "--json").json["weight"] == 0


def test_receipts_are_listed(cli: Cli, there: FakeManagerApi) -> None:
    late = {**RECEIPT, "replica": uid(9), "waiting_for": ["proxy-2"], "complete": False}
    there.on(
        "GET",
        f"{ECHO}/receipts",
        {"items": [RECEIPT, late, {**RECEIPT, "ended_at": None, "complete": False}], "next": None},
    )
    there.on("GET", f"{ECHO}/revisions/2/receipt", ROLLOUT)
    heading, first, second, third = cli("service", "receipts", "echo").out.splitlines()
    assert heading.split()[3:] == ["WHY", "OPEN", "FINISHED", "RETRIED", "FAILED", "CUT", "SLOWEST", "STATE"]
    assert first.split()[2:] == ["1", "->", "2", "replaced-by-update", "5", "3", "1", "0", "1", "4.25", "s", "complete"]
    assert second.endswith("waits for proxy-2")
    assert third.endswith("draining")
    ran = cli("service", "receipts", "echo", "--revision", 2, "--last", 1)
    assert len(ran.out.splitlines()) == 2
    assert (
        "5 requests open on 2 replicas that made way for revision 2: 3 finished, 1 retried, 0 failed, 1 cut" in ran.err
    )
    assert any("revision=2" in path for _, path in there.seen)
    assert cli("service", "receipts", "echo", "--json").json[0]["slowest_s"] == 4.25


def test_an_update_ends_with_what_it_cost(cli: Cli, there: FakeManagerApi) -> None:
    there.on("PATCH", ECHO, service_view(revision=2))
    there.on("GET", ECHO, service_view(**SERVES))
    there.on("GET", f"{ECHO}/revisions/2/receipt", {**ROLLOUT, "draining": 2, "complete": False}, ROLLOUT)
    there.on("POST", f"{ECHO}/rollback", service_view(revision=2))
    ran = cli("service", "rollback", "echo", 1, "--wait")
    assert ran.code == 0, ran.err
    assert "echo: 2 replaced replicas still draining" in ran.out
    last = ran.out.splitlines()[-1]
    assert last == (
        "5 requests open on 2 replicas that made way for revision 2: 3 finished, 1 retried, 0 failed, 1 cut; the slowest took 4.25 s"
    )
    there.on(
        "GET",
        f"{ECHO}/revisions",
        {"items": [{"number": 1, "spec": {}, "created_at": NOW, "created_by": "a", "message": ""}], "next": None},
    )
    there.on("GET", ECHO, service_view(**SERVES | {"revision": 1}))
    updated = cli("service", "update", "echo", "--image", "new", "--wait", "--json").json
    assert (updated["name"], updated["receipt"]["started"]) == ("echo", 5)
    assert "receipt" not in cli("service", "update", "echo", "--description", "d", "--wait", "--json").json


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"started": 0, "replicas": 1}, "no request was open on 1 replica"),
        ({"replicas": 0, "started": 0}, "no replica that served"),
        ({"started": 7}, "2 not told of"),
        ({"draining": 1, "complete": False}, "so far: 1 replica still drains"),
        ({"waiting_for": ["proxy-2"], "complete": False}, "so far: proxy-2 has not told all"),
    ],
)
def test_the_words_of_a_receipt(cli: Cli, there: FakeManagerApi, change: dict[str, Any], words: str) -> None:
    there.on("GET", f"{ECHO}/receipts", {"items": [], "next": None})
    there.on("GET", f"{ECHO}/revisions/2/receipt", {**ROLLOUT, **change})
    assert words in cli("service", "receipts", "echo", "--revision", 2).err
