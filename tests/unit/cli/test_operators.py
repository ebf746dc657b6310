"""`project`, `user`, `rule` and `agent`: what is sent, what is shown, and what is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from tests.support.fakes.manager_api import NOW, FakeManagerApi, uid
from tests.support.worlds.cli import Cli

BLUE = {"id": uid(1), "name": "blue", "description": "the blue one", "quota": {"cuda.device": "4"}, "created_at": NOW}
FREE = BLUE | {"name": "free", "quota": None}
USAGE = {"used": {"cuda.device": "2", "storage": "1024"}, "limits": {"cuda.device": "4"}}
ANN = {"id": uid(2), "name": "ann", "operator": False, "created_at": NOW}
API_KEY = {"id": uid(3), "name": "default", "created_at": NOW, "expires_at": None}
SPEC: dict[str, Any] = {
    "source": "inference-framework",
    "metric": "headrace_queued",
    "comparator": "GREATER_THAN",
    "threshold": 5,
    "step": 1,
    "min_replicas": 1,
    "max_replicas": 8,
    "cooldown_s": 300,
    "enabled": True,
}
RULE: dict[str, Any] = {"id": uid(4), "spec": SPEC, "created_at": NOW}
AGENT: dict[str, Any] = {
    "id": "agent-1",
    "status": "alive",
    "resource_group": "default",
    "hostname": "host-1",
    "architecture": "x86_64",
    "address": "10.0.0.1",
    "runtime": "docker",
    "version": "1",
    "slots": {"cpu": "8", "mem": "1073741824"},
    "allocated": {"cpu": "2"},
    "plan_generation": 5,
    "applied_generation": 4,
    "last_seen_at": NOW,
    "gpus": [],
    "kernels": [],
}


def nothing() -> web.Response:
    return web.Response(status=204)


def page(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"items": list(rows), "next": None}


def sent(there: FakeManagerApi) -> Any:
    return there.bodies[-1]


def test_a_project_is_created_with_limits_and_the_answer_s_remark_is_said(cli: Cli, there: FakeManagerApi) -> None:
    note = {"code": "slot-unknown", "text": "no machine has cuda.devcie"}
    there.on("POST", "/v1/projects", BLUE | {"note": note}, status=201)
    ran = cli("project", "create", "blue", "--description", "the blue one", "--quota", "cuda.devcie=4")
    assert ran.code == 0
    assert sent(there) == {"name": "blue", "description": "the blue one", "quota": {"cuda.devcie": "4"}}
    assert ran.err == "note: no machine has cuda.devcie\n"


def test_projects_are_listed_with_their_limits(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/projects", page(BLUE, FREE), page())
    lines = cli("project", "ls").out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["blue", "cuda.device=4"], ["free", "unlimited"]]
    ran = cli("project", "ls")
    assert (ran.out, ran.err) == ("", "no projects\n")


def test_a_project_is_shown_with_what_it_holds_of_each_limit(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/projects/blue", BLUE)
    there.on("GET", f"/v1/projects/{uid(1)}/usage", USAGE)
    out = cli("project", "show", "blue").out
    assert "cuda.device held  2 of 4" in out
    assert "storage held      1KiB\n" in out


def test_the_usage_of_a_project_has_limits_of_what_it_does_not_hold(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/projects/blue/usage", USAGE | {"used": {}})
    assert cli("project", "usage", "blue").out.split() == ["cuda.device", "0", "of", "4"]


def test_the_usage_of_a_project_names_who_uses_it(cli: Cli, there: FakeManagerApi) -> None:
    one = {"kind": "service", "id": uid(5), "name": "echo", "owner": "ann", "replicas": 2}
    run = {"kind": "trial-run", "id": uid(6), "name": "", "owner": "", "replicas": 1, "used": {"services": "1"}}
    holders = [one | {"used": {"cuda.device": "2", "services": "1"}}, run]
    there.on("GET", "/v1/projects/blue/usage", USAGE | {"holders": holders})
    lines = [line.split() for line in cli("project", "usage", "blue").out.splitlines()]
    assert lines[-3:] == [
        ["WHAT", "NAME", "OWNER", "REPLICAS", "HOLDS"],
        ["service", "echo", "ann", "2", "cuda.device=2"],
        ["trial-run", uid(6), "-", "1", "-"],
    ]
    assert cli("project", "usage", "blue", "--json").json["holders"][0]["owner"] == "ann"


def test_a_change_of_a_project_sends_what_was_given_only(cli: Cli, there: FakeManagerApi) -> None:
    there.on("PATCH", "/v1/projects/blue", BLUE)
    assert cli("project", "update", "blue", "--description", "x").code == 0
    assert sent(there) == {"description": "x"}
    ran = cli("project", "update", "blue")
    assert (ran.code, "found nothing to change" in ran.err) == (2, True)


def test_a_whole_quota_is_replaced_by_taking_it_away_and_giving_another(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/projects/blue", BLUE)
    there.on("PATCH", "/v1/projects/blue", BLUE)
    assert cli("project", "update", "blue", "--unset", "quota", "--quota", "cpu=2").code == 0
    assert sent(there) == {"quota": {"cuda.device": None, "cpu": "2"}}
    assert cli("project", "update", "blue", "--unset", "quota").code == 0
    assert sent(there) == {"quota": None}


@pytest.mark.parametrize(
    ("words", "method", "path"),
    [
        (["project", "rm", "blue"], "DELETE", "/v1/projects/blue"),
        (["user", "rm-key", "ann", uid(3)], "DELETE", f"/v1/users/ann/keys/{uid(3)}"),
        (["rule", "rm", "echo", uid(4)], "DELETE", f"/v1/services/echo/rules/{uid(4)}"),
    ],
)
def test_what_cannot_be_taken_back_is_done_with_yes_only(
    cli: Cli, there: FakeManagerApi, words: list[str], method: str, path: str
) -> None:
    there.on(method, path, nothing)
    ran = cli(*words)
    assert "there is no terminal to ask on; say --yes, which answers: " in ran.err
    assert (ran.code, there.seen) == (2, [])
    assert cli(*words, "--yes").code == 0
    assert there.seen == [(method, path)]


def test_members_are_listed_added_with_a_role_and_removed(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/projects/blue/members", page({"user": "ann", "role": "owner"}), page())
    there.on("PUT", "/v1/projects/blue/members/ann", {"user": "ann", "role": "viewer"})
    there.on("DELETE", "/v1/projects/blue/members/ann", nothing)
    assert cli("project", "members", "blue").out.split() == ["USER", "ROLE", "ann", "owner"]
    assert cli("project", "members", "blue").err == "no members\n"
    assert cli("project", "add-member", "blue", "ann", "--role", "viewer").out.split() == [
        "user",
        "ann",
        "role",
        "viewer",
    ]
    assert sent(there) == {"role": "viewer"}
    assert cli("project", "rm-member", "blue", "ann", "--json").json == {"project": "blue", "removed": "ann"}


def test_users_are_created_listed_and_changed(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", "/v1/users", ANN, status=201)
    there.on("GET", "/v1/users", page(ANN), page())
    there.on("PATCH", "/v1/users/ann", ANN | {"operator": True})
    assert cli("user", "create", "ann").code == 0
    assert sent(there)["name"] == "ann"
    assert cli("user", "ls").out.splitlines()[1].split()[:2] == ["ann", "no"]
    assert cli("user", "ls").out == ""
    assert "yes" in cli("user", "update", "ann", "--operator").out
    assert sent(there) == {"operator": True}
    assert cli("user", "update", "ann", "--unset", "operator").code == 0
    assert sent(there) == {"operator": None}
    assert cli("user", "update", "ann").code == 2


def test_a_key_is_shown_once_and_lasts_as_long_as_was_said(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", "/v1/users/ann/keys", API_KEY | {"key": "hr_new"}, status=201)
    ran = cli("user", "key", "ann", "--name", "ci", "--expires", "90d")
    assert "hr_new" in ran.out
    assert ran.err == "it is not shown again\n"
    assert sent(there) == {"name": "ci", "expires_in_s": 90 * 86_400}
    assert cli("user", "key", "ann").code == 0
    assert sent(there) == {"name": "default"}
    assert cli("user", "key", "ann", "--expires", "2001-01-01").code == 2
    empty = cli("user", "key", "ann", "--expires", "")
    assert (empty.code, "found nothing" in empty.err) == (2, True), "as an empty variable is: no key without end"


def test_keys_are_listed_renamed_and_made_to_last(cli: Cli, there: FakeManagerApi) -> None:
    where = f"/v1/users/ann/keys/{uid(3)}"
    there.on("GET", "/v1/users/ann/keys", page(API_KEY), page())
    there.on("PATCH", where, API_KEY)
    assert "never" in cli("user", "keys", "ann").out
    assert cli("user", "keys", "ann").err == "no keys\n"
    assert cli("user", "update-key", "ann", uid(3), "--name", "ci", "--expires", "1d").code == 0
    assert sent(there) == {"name": "ci", "expires_in_s": 86_400}
    assert cli("user", "update-key", "ann", uid(3), "--unset", "expires").code == 0
    assert sent(there) == {"expires_in_s": None}
    assert cli("user", "update-key", "ann", uid(3)).code == 2


@pytest.mark.parametrize(("metric", "source"), [("cpu_util", "kernel"), ("headrace_queued", "inference-framework")])
def test_a_rule_s_source_follows_from_its_metric(cli: Cli, there: FakeManagerApi, metric: str, source: str) -> None:
    there.on("POST", "/v1/services/echo/rules", RULE, status=201)
    ran = cli("rule", "add", "echo", "--metric", metric, "--comparator", ">", "--threshold", 5, "--step", 1, "--max", 8)
    assert ran.code == 0
    assert (sent(there)["source"], sent(there)["comparator"]) == (source, "GREATER_THAN")
    assert "headrace_queued > 5: +1 in 1..8, then 300 s" in ran.out


def test_a_wrong_comparator_is_refused_with_those_that_are_allowed(cli: Cli, there: FakeManagerApi) -> None:
    ran = cli("rule", "add", "echo", "--metric", "m", "--comparator", "=", "--threshold", 5, "--step", 1, "--max", 8)
    assert ran.code == 2
    assert "--comparator =: allowed: <, <=, >, >=, LESS_THAN" in ran.err
    assert there.seen == []


def test_rules_are_listed_with_what_was_observed_and_why_they_fired_or_did_not(cli: Cli, there: FakeManagerApi) -> None:
    reason = {"code": "condition-not-met", "text": "2 is not above 5"}
    outcome = {"rule_id": uid(4), "at": NOW, "observed": 2.0, "fired": False, "reason": reason}
    fired = RULE | {"outcome": outcome | {"fired": True}, "spec": SPEC | {"enabled": False}}
    there.on("GET", "/v1/services/echo/rules", page(RULE, RULE | {"outcome": outcome}, fired))
    out = cli("rule", "ls", "echo").out
    assert [line.split()[-1] for line in out.splitlines()[1:4]] == ["-", "2", "2"]
    assert f"{uid(4)}: did not fire at {NOW}: 2 is not above 5" in out
    assert f"{uid(4)}: fired at" in out
    assert "(off)" in out


def test_a_change_of_a_rule_sends_what_was_given_only(cli: Cli, there: FakeManagerApi) -> None:
    where = f"/v1/services/echo/rules/{uid(4)}"
    there.on("PATCH", where, RULE)
    assert (
        cli("rule", "update", "echo", uid(4), "--comparator", "less_than", "--cooldown", "5m", "--disabled").code == 0
    )
    assert sent(there) == {"comparator": "LESS_THAN", "cooldown_s": 300, "enabled": False}
    assert cli("rule", "update", "echo", uid(4), "--metric", "mem_util", "--unset", "min").code == 0
    assert sent(there) == {"metric": "mem_util", "source": "kernel", "min_replicas": None}
    assert cli("rule", "update", "echo", uid(4)).code == 2


def test_an_agent_is_shown_with_its_disks_gpus_and_kernels(cli: Cli, there: FakeManagerApi) -> None:
    gpu = {"gpu_id": "GPU-1", "index": 0, "model": "H100", "memory_bytes": 1 << 30, "memory_used_bytes": 1 << 20}
    kernel = {
        "kernel_id": uid(5),
        "session_id": uid(6),
        "service_id": None,
        "state": "running",
        "health": "healthy",
        "reason": {"code": "health-check-passed", "text": "it answered 200"},
    }
    disk = {"free_bytes": 1 << 20, "total_bytes": 1 << 30, "reserve_bytes": 1 << 25}
    detail = AGENT | {
        "gpus": [gpu, gpu | {"index": 1, "simulated": True}],
        "kernels": [kernel, kernel | {"host": "10.0.0.1", "port": 4000}],
        "disk": disk | {"reserve_bytes": 0},
        "engine_disk": disk,
        "plan_problem": "a folder is unknown",
        "checks": {"replica-ports": "nft is missing"},
        "addresses": ["10.0.0.1", "10.0.0.2"],
        "address_problem": "it is at 10.0.0.3",
    }
    there.on("GET", "/v1/agents/agent-1", detail, AGENT)
    out = cli("agent", "show", "agent-1").out
    for text in (
        "gpu 0  H100  1 MiB of 1 GiB  0 %  GPU-1",
        "gpu 1  H100, simulated",
        f"kernel {uid(5)}  running  healthy  no address",
        "10.0.0.1:4000\n  it answered 200",
        "1 MiB of 1 GiB; it starts no replicas before 32 MiB are free",
        "generation 4 of 5 applied",
        "a folder is unknown",
        "check replica-ports",
        "nft is missing",
        "10.0.0.1, 10.0.0.2",
        "it is at 10.0.0.3",
    ):
        assert text in out
    plain = cli("agent", "show", "agent-1").out
    assert "the next one that it reports" in plain
    assert "gpu " not in plain
    assert "check " not in plain


def test_agents_are_listed_with_what_is_allocated(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/agents", page(AGENT), page())
    assert cli("agent", "ls").out.split()[-5:] == ["docker", "cpu=2", "cpu=8", "mem=1GiB", "-"]
    assert cli("agent", "ls").out == ""


def test_an_agent_s_addresses_are_replaced_or_taken_away(cli: Cli, there: FakeManagerApi) -> None:
    there.on("PATCH", "/v1/agents/agent-1", AGENT | {"addresses": ["10.0.0.2"]}, AGENT)
    assert "10.0.0.2" in cli("agent", "address", "agent-1", "10.0.0.2").out
    assert sent(there) == {"addresses": ["10.0.0.2"]}
    assert cli("agent", "address", "agent-1", "--unset").code == 0
    assert sent(there) == {"addresses": None}
    for words in ([], ["10.0.0.2", "--unset"]):
        assert cli("agent", "address", "agent-1", *words).code == 2
