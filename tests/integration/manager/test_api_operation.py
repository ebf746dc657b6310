"""Tokens, rules, logs, trial runs and machines through the public API."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from headrace.common.contracts.ids import RuleId, new_uuid
from headrace.common.contracts.messages.rulestates import RuleOutcome
from headrace.common.contracts.reasons import Reason
from tests.support.api import Api
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi

RULE = {
    "source": "kernel",
    "metric": "cpu_util",
    "comparator": "GREATER_THAN",
    "threshold": 50,
    "step": 1,
    "min_replicas": 1,
    "max_replicas": 5,
}


async def create(api: ManagerApi, name: str = "chat", **body: Any) -> Any:
    return await api.admin.call("POST", "/v1/services", {"name": name, "runtime": "cmd", **body})


async def test_tokens_are_signed_shown_once_and_revoked(api: ManagerApi) -> None:
    service = await create(api)
    made = await api.admin.call("POST", "/v1/services/chat/tokens", {"name": "app", "expires_in_s": 60})
    row = await api.pool.fetchrow("select kid, private_key, public_key from signing_keys")
    public = Ed25519PublicKey.from_public_bytes(row["public_key"])
    assert jwt.get_unverified_header(made["token"]) == {"alg": "EdDSA", "kid": row["kid"], "typ": "JWT"}
    claims = jwt.decode(made["token"], public, algorithms=["EdDSA"], issuer="headrace")
    assert (claims["sub"], claims["jti"]) == (service["id"], made["id"])
    assert claims["exp"] == datetime.fromisoformat(made["expires_at"]).timestamp()
    assert 60 <= claims["exp"] - claims["iat"] <= 61
    assert len(row["private_key"]) > 32, "the private part is sealed"
    again = await api.admin.call("POST", "/v1/services/chat/tokens", {})
    assert jwt.get_unverified_header(again["token"])["kid"] == row["kid"]
    lifetime = datetime.fromisoformat(again["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < lifetime <= timedelta(days=30, seconds=1)
    listed = (await api.admin.call("GET", "/v1/services/chat/tokens"))["items"]
    assert [(t["name"], t["created_by"], t["revoked_at"]) for t in listed] == [
        ("app", "admin", None),
        ("", "admin", None),
    ]
    assert made["token"] not in str(listed)
    api.behind.poked.clear()
    await api.admin.call("DELETE", f"/v1/services/chat/tokens/{made['id']}")
    assert api.behind.poked == ["routes"]
    listed = (await api.admin.call("GET", "/v1/services/chat/tokens"))["items"]
    assert listed[0]["revoked_at"] is not None
    await create(api, "other")
    await api.admin.call("DELETE", f"/v1/services/other/tokens/{again['id']}", expect=404)
    await api.admin.call("DELETE", "/v1/services/chat/tokens/none", expect=404)
    for body in (
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2999-01-01T00:00:00Z"},
        {"expires_in_s": 0},
        {"expires_at": "2020-01-01T00:00:00"},
        {"expires_in_s": 5, "expires_at": "2030-01-01T00:00:00Z"},
    ):
        await api.admin.call("POST", "/v1/services/chat/tokens", body, expect=400)


async def test_rules_show_what_they_did_last(api: ManagerApi) -> None:
    service = await create(api)
    rule = await api.admin.call("POST", "/v1/services/chat/rules", RULE)
    assert (rule["outcome"], rule["spec"]["cooldown_s"], rule["spec"]["enabled"]) == (None, 300, True)
    outcome = RuleOutcome(
        rule_id=RuleId(UUID(rule["id"])),
        at=datetime.now(UTC),
        observed=12.5,
        fired=False,
        reason=Reason(code="below-threshold", text="12.5 is not above 50"),
    )
    api.behind.outcomes[UUID(rule["id"])] = outcome
    listed = (await api.admin.call("GET", "/v1/services/chat/rules"))["items"]
    assert listed[0]["outcome"]["reason"]["code"] == "below-threshold"
    replaced = await api.admin.call(
        "PUT", f"/v1/services/chat/rules/{rule['id']}", {**RULE, "step": -2, "comparator": "LESS_THAN"}
    )
    assert (replaced["id"], replaced["spec"]["step"]) == (rule["id"], -2)
    for wrong in ({"step": 0}, {"min_replicas": 6}, {"comparator": "ABOUT"}, {"metric": "a b"}, {"threshold": "NaN"}):
        await api.admin.call("POST", "/v1/services/chat/rules", {**RULE, **wrong}, expect=400)
    await api.pool.execute(
        "insert into scale_decisions (id, service_id, source, rule_id, from_replicas, to_replicas, observed, reason_code, reason_text)"
        " values ($1, $2, 'rule', $3, 1, 2, 80, 'fired', 'it did')",
        new_uuid(),
        service["id"],
        rule["id"],
    )
    decision = (await api.admin.call("GET", "/v1/services/chat/decisions"))["items"][0]
    assert (decision["source"], decision["rule_id"], decision["observed"]) == ("rule", rule["id"], 80)
    await api.admin.call("DELETE", f"/v1/services/chat/rules/{rule['id']}", expect=204)
    await api.admin.call("DELETE", f"/v1/services/chat/rules/{rule['id']}", expect=404)
    assert api.behind.poked.count("rules") >= 3


async def test_logs_of_one_and_of_all(api: ManagerApi) -> None:
    await create(api, replicas=2)
    assert (await api.admin.http.get("/v1/services/chat/logs")).text == ""
    (first, one), (second, two) = await api.runs("chat"), await api.runs("chat")
    for second_of, kernel in ((1, one), (2, two), (3, one), (4, two)):
        await api.behind.say(kernel, f"2026-01-01T00:00:0{second_of}Z line {second_of}")
    answer = await api.admin.http.get("/v1/services/chat/logs")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert [line.split(" ", 1)[0] for line in answer.text.splitlines()] == [
        str(first),
        str(second),
        str(first),
        str(second),
    ]
    assert [line[-1] for line in answer.text.splitlines()] == ["1", "2", "3", "4"], "in order of time"
    alone = await api.admin.http.get(f"/v1/services/chat/logs?replica={first}&tail=1")
    assert alone.text == "2026-01-01T00:00:03Z line 3\n"
    assert (await api.admin.http.get(f"/v1/services/chat/logs?replica={first}&tail=0&download=all")).text.count(
        "\n"
    ) == 2
    await api.admin.call("GET", f"/v1/services/chat/logs?replica={new_uuid()}", expect=404)
    await api.admin.call("GET", "/v1/services/chat/logs?tail=-1", expect=400)
    del api.behind.logs[one]
    problem = await api.admin.call("GET", f"/v1/services/chat/logs?replica={first}", expect=404)
    assert problem["type"].endswith("not-found")
    rest = (await api.admin.http.get("/v1/services/chat/logs")).text
    assert "line 4" in rest
    assert "headrace: log cannot be read" in rest
    for session in (first, second):
        await api.ends(session)
    assert "line 4" in (await api.admin.http.get("/v1/services/chat/logs")).text, "the last one's, when none lives"


async def test_following_shows_new_lines_and_new_replicas_and_ends_with_the_reader(api: ManagerApi) -> None:
    await create(api, replicas=2)
    _, one = await api.runs("chat")
    await api.behind.say(one, "2026-01-01T00:00:01Z old")
    seen: list[str] = []

    async def read() -> None:
        async with api.admin.http.stream("GET", "/v1/services/chat/logs?follow=true&tail=10", timeout=60) as answer:
            async for line in answer.aiter_lines():
                seen.append(line)  # noqa: PERF401 - looked at while it grows

    reader = asyncio.create_task(read())
    await eventually(lambda: any("old" in line for line in seen))
    await api.behind.say(one, "2026-01-01T00:00:02Z new")
    await eventually(lambda: any("new" in line for line in seen))
    _, two = await api.runs("chat")
    await api.behind.say(two, "2026-01-01T00:00:03Z from the second")
    await eventually(lambda: any("from the second" in line for line in seen))
    assert api.behind.reading == 2
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    await eventually(lambda: api.behind.reading == 0, what="the agents' readers are let go")


async def test_a_log_that_is_read_on_has_what_came_since_also_of_replicas_that_ended_meanwhile(api: ManagerApi) -> None:
    await create(api, replicas=2)
    (first, one), (second, two), (third, three) = await api.runs("chat"), await api.runs("chat"), await api.runs("chat")
    for at, kernel in ((1, one), (2, two), (3, one), (4, two), (5, three)):
        await api.behind.say(kernel, f"2026-01-01T00:00:0{at}Z line {at}")
    await api.ends(second)
    await api.ends(third)
    await api.pool.execute("update sessions set ended_at = '2025-12-31T00:00:00Z' where id = $1", third)
    since = "since=2026-01-01T00:00:03Z"
    text = (await api.admin.http.get(f"/v1/services/chat/logs?tail=0&{since}")).text
    assert text.splitlines() == [f"{first} 2026-01-01T00:00:03Z line 3", f"{second} 2026-01-01T00:00:04Z line 4"]
    assert "line 4" not in (await api.admin.http.get("/v1/services/chat/logs")).text
    alone = await api.admin.http.get(f"/v1/services/chat/logs?replica={first}&since=2026-01-01T01:00:02%2B01:00")
    assert alone.text == "2026-01-01T00:00:03Z line 3\n"
    async with api.admin.http.stream("GET", f"/v1/services/chat/logs?follow=true&{since}", timeout=60) as answer:
        lines = answer.aiter_lines()
        assert {(await anext(lines))[-1] for _ in range(2)} == {"3", "4"}
        await api.behind.say(one, "2026-01-01T00:00:02Z after the clock was set back")
        assert (await anext(lines)).endswith("after the clock was set back")
    for wrong in ("yesterday", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"):
        await api.admin.call("GET", f"/v1/services/chat/logs?since={wrong}", expect=400)


async def test_a_log_that_falls_silent_says_so_once_and_is_read_on_when_its_agent_is_back(api: ManagerApi) -> None:
    await create(api, replicas=2)
    (first, one), (second, two) = await api.runs("chat"), await api.runs("chat", agent="agent-2")
    await api.behind.say(one, "2026-01-01T00:00:01Z first")
    await api.behind.say(two, "2026-01-01T00:00:01Z second")
    await api.behind.falls_silent("agent-2")
    async with api.admin.http.stream("GET", "/v1/services/chat/logs?follow=true&tail=10", timeout=60) as answer:
        lines = answer.aiter_lines()

        async def told() -> str:
            """The next line, without its time."""
            line = await anext(lines)
            return f"{line.split()[0]} {line.split(' ', 2)[2]}"

        async def until(words: str) -> list[str]:
            """The lines up to one with these words."""
            got: list[str] = []
            while not (got and words in got[-1]):
                got.append(await told())
            return got

        said = f"{second} headrace: log cannot be read: agent-2 does not answer; it is read on when it can be"
        assert {await told(), await told()} == {f"{first} first", said}
        await api.behind.falls_silent("agent-2", silent=False)
        assert await until("second") == [f"{second} headrace: log is read on", f"{second} second"]
        await api.behind.falls_silent("agent-1")
        assert (await until("cannot be read"))[-1].startswith(
            f"{first} headrace: log cannot be read: agent-1 fell silent"
        )
        await api.behind.say(one, "2026-01-01T00:00:02Z while it was silent")
        await api.behind.falls_silent("agent-1", silent=False)
        back = [f"{first} headrace: log is read on", f"{first} while it was silent"]
        assert await until("while it was silent") == back  # and what was read before does not come again
        await api.behind.falls_silent("agent-2")
        await until("agent-2 fell silent")
        await api.pool.execute("update sessions set reason_text = 'its machine is silent' where id = $1", second)
        await api.ends(second)
        assert (await until("not read on"))[-1] == f"{second} headrace: log is not read on: its machine is silent"


async def test_following_is_refused_while_no_agent_can_be_asked(api: ManagerApi) -> None:
    await create(api)
    api.behind.bus_connected = False
    problem = await api.admin.call("GET", "/v1/services/chat/logs?follow=true", expect=503)
    assert problem["type"].endswith("bus-unavailable")


async def test_following_ends_when_the_service_is_gone(api: ManagerApi) -> None:
    await create(api)
    async with api.admin.http.stream("GET", "/v1/services/chat/logs?follow=true") as answer:
        assert answer.status_code == 200
        await api.admin.call("DELETE", "/v1/services/chat", expect=204)
        assert await asyncio.wait_for(answer.aread(), 60) == b""


async def test_a_trial_run_from_start_to_verdict(api: ManagerApi) -> None:
    run = await api.admin.call("POST", "/v1/validations", {"runtime": "cmd", "image": "img"})
    assert (run["status"], run["done"], run["verdict"], run["kind"]) == ("pending", False, None, "validation")
    assert "placement" in api.behind.poked
    await api.machine("agent-1")
    seen: list[str] = []

    async def read() -> None:
        async with api.admin.http.stream("GET", f"/v1/validations/{run['id']}/logs?follow=true", timeout=60) as answer:
            async for line in answer.aiter_lines():
                seen.append(line)  # noqa: PERF401 - looked at while it grows

    reader = asyncio.create_task(read())
    kernel = await api.pool.fetchval(
        "update kernels set agent_id = 'agent-1', state = 'running', reason_code = 'initial-delay', reason_text = 'waits' returning id"
    )
    for status in ("placed", "running"):
        await api.pool.execute("update sessions set status = $1", status)
    await api.behind.say(kernel, "2026-01-01T00:00:01Z loading")
    await eventually(
        lambda: seen == ["2026-01-01T00:00:01Z loading"], what="following began before there was a machine"
    )
    assert (await api.admin.call("GET", f"/v1/validations/{run['id']}"))["reason"]["code"] == "initial-delay"
    await api.pool.execute(
        "update sessions set was_healthy = true, status = 'stopping', reason_code = 'validation-passed', reason_text = 'yes'"
    )
    done = await api.admin.call("GET", f"/v1/validations/{run['id']}")
    assert (done["done"], done["verdict"], done["reason"]["code"]) == (True, "passed", "validation-passed")
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    other = await api.admin.call("POST", "/v1/validations", {"runtime": "cmd"})
    await api.admin.call("DELETE", f"/v1/validations/{other['id']}", expect=204)
    stopped = await api.admin.call("GET", f"/v1/validations/{other['id']}")
    assert (stopped["status"], stopped["verdict"], stopped["reason"]["code"]) == ("ended", "failed", "stopped-by-user")
    await api.admin.call("DELETE", f"/v1/validations/{other['id']}", expect=204)
    await api.admin.call("GET", f"/v1/validations/{new_uuid()}", expect=404)
    session, _ = await api.runs((await create(api))["name"])
    await api.admin.call("GET", f"/v1/validations/{session}", expect=404)


async def test_machines_for_operators(api: ManagerApi) -> None:
    for name in ("agent-2", "agent-1"):
        await api.machine(name)
    await api.pool.execute("update agents set lost_at = now() where id = 'agent-2'")
    await create(api)
    _, kernel = await api.runs("chat")
    await api.pool.execute(
        "insert into allocations (kernel_id, agent_id, slot, amount) values ($1, 'agent-1', 'cpu', 2)", kernel
    )
    listed = await api.admin.call("GET", "/v1/agents?limit=1")
    assert ([a["id"] for a in listed["items"]], listed["next"]) == (["agent-1"], "agent-1")
    second = (await api.admin.call("GET", "/v1/agents?cursor=agent-1"))["items"]
    assert [(a["id"], a["status"]) for a in second] == [("agent-2", "lost")]
    shown = await api.admin.call("GET", "/v1/agents/agent-1")
    assert (shown["allocated"], shown["slots"]["cpu"], shown["kernels"], shown["runtime"]) == (
        {"cpu": "2"},
        "8",
        [],
        "docker",
    )
    await api.admin.call("GET", "/v1/agents/none", expect=404)


async def test_without_postgres_the_answer_is_503(api: ManagerApi) -> None:
    await api.pool.close()
    async with httpx.AsyncClient(verify=False, timeout=60, base_url=api.url) as http:
        answer = await http.get("/v1/services", headers={"Authorization": f"Bearer {api.admin.key}"})
        assert (answer.status_code, answer.json()["reason"]) == (503, "database-unreachable")
        assert (await http.get("/livez")).status_code == 200


async def test_what_is_stored_is_shown_whatever_the_rules_for_requests_say(api: ManagerApi) -> None:
    """A machine of which a whole GPU and a share are taken, a report with a bad part, and specs of older rules cost nobody else."""
    for agent in ("agent-1", "agent-2"):
        await api.machine(agent)
    await api.admin.call("POST", "/v1/services", {"name": "chat", "runtime": "cmd", "image": "img"})
    await api.admin.call("POST", "/v1/services", {"name": "other", "runtime": "cmd", "image": "img"})
    await api.admin.call("POST", "/v1/services/chat/rules", RULE)
    _, kernel = await api.runs("chat")
    for slot in ("cuda.device", "cuda.shares"):
        await api.pool.execute(
            "insert into allocations (kernel_id, agent_id, slot, device, amount) values ($1, 'agent-1', $2, $2, 1)",
            kernel,
            slot,
        )
    await api.pool.execute(
        'update agents set kernels = \'[{"host": 5}]\', machine = machine || \'{"gpus": [{}], "runtime": null}\''
    )
    await api.pool.execute(
        'update revisions set spec = spec || \'{"slots": {"cpu": "0"}, "environ": {"a b": "1"}}\','
        ' resolved = resolved || \'{"port": 0, "health_check": {"path": "x"}}\''
        " from services s where s.id = service_id and s.name = 'chat'"
    )
    await api.pool.execute("update rules set spec = spec || '{\"step\": 0}'")
    await api.pool.execute("update services set limits = '{\"max_queued\": \"many\"}' where name = 'chat'")
    anybody = Api(api.url, api.admin.key)  # whose answers nobody checks: they are not what the document tells
    api.users.append(anybody)
    machines = (await anybody.call("GET", "/v1/agents"))["items"]
    assert machines[0]["allocated"] == {"cuda.device": "1", "cuda.shares": "1"}
    assert (await anybody.call("GET", "/v1/agents/agent-1"))["kernels"] == []
    assert [item["name"] for item in (await anybody.call("GET", "/v1/services"))["items"]] == ["chat", "other"]
    revision = (await anybody.call("GET", "/v1/services/chat/revisions"))["items"][0]
    assert (revision["spec"]["slots"], revision["spec"]["environ"]) == ({"cpu": "0"}, {"a b": "1"})
    assert (await anybody.call("GET", "/v1/services/chat/rules"))["items"][0]["spec"]["step"] == 0
    problem = await anybody.call("POST", "/v1/services/chat/rollback", {"revision": 1}, expect=409)
    assert problem["detail"].startswith("revision 1 cannot be run any more: port: found 0; allowed: 1 or more")
    await anybody.call("PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": "img"}})
    assert (await anybody.call("GET", "/v1/services/chat"))["revision"] == 2


async def test_after_a_restore_a_replica_serves_once_its_machine_has_reported(api: ManagerApi) -> None:
    await create(api)
    await api.runs("chat")
    assert (await api.admin.call("GET", "/v1/services/chat"))["status"] == "healthy"
    await api.pool.execute(
        "insert into events (id, actor, action, details) values ($1, 'ada', 'installation.restored', '{}')", new_uuid()
    )
    restored = await api.admin.call("GET", "/v1/services/chat")
    assert (restored["status"], restored["healthy_replicas"]) == ("unhealthy", 0)
    assert restored["replica_list"][0]["reason"]["code"] == "agent-lost"
    await api.pool.execute("update agents set last_seen_at = now() + interval '1 ms' where id = 'agent-1'")
    assert (await api.admin.call("GET", "/v1/services/chat"))["status"] == "healthy"
