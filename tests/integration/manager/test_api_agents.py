"""What operators say of machines over the API: cordons, labels, removals."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.worlds.manager_api import ManagerApi


@pytest.fixture
async def fleet(api: ManagerApi) -> ManagerApi:
    """Two machines, on the first of which a replica runs."""
    await api.admin.call("POST", "/v1/services", {"name": "chat", "runtime": "cmd", "image": "img"})
    await api.runs("chat", agent="m-1")
    await api.machine("m-2")
    return api


async def told(api: ManagerApi) -> list[tuple[str, str, str]]:
    rows = await api.pool.fetch("select action, message, details ->> 'agent' as agent from events order by id")
    return [(row["action"], row["agent"], row["message"]) for row in rows if row["action"].startswith("agent.")]


async def test_a_cordon_is_seen_kept_and_taken_away(fleet: ManagerApi) -> None:
    call = fleet.admin.call
    fleet.behind.poked.clear()
    first = (await call("PUT", "/v1/agents/m-1/cordon", {"reason": " new RAM "}))["cordon"]
    assert (first["by"], first["reason"]) == ("admin", "new RAM")
    assert "placement" in fleet.behind.poked
    again = (await call("PUT", "/v1/agents/m-1/cordon", {"reason": "new RAM"}))["cordon"]
    assert again == first
    kept = (await call("PUT", "/v1/agents/m-1/cordon", {}))["cordon"]
    assert kept == first
    other = (await call("PUT", "/v1/agents/m-1/cordon", {"reason": ""}))["cordon"]
    assert (other["at"], other["reason"]) == (first["at"], "")
    assert [a["cordon"] is None for a in (await call("GET", "/v1/agents"))["items"]] == [False, True]
    for _ in range(2):
        assert (await call("DELETE", "/v1/agents/m-1/cordon"))["cordon"] is None
    assert await told(fleet) == [
        ("agent.cordoned", "m-1", "new RAM"),
        ("agent.cordoned", "m-1", ""),
        ("agent.uncordoned", "m-1", ""),
    ]
    refused = await call("PUT", "/v1/agents/m-1/cordon", {"reason": "x" * 201}, expect=400)
    assert refused["errors"][0]["field"] == "reason"
    for method, body in (("PUT", {}), ("DELETE", None)):
        await call(method, "/v1/agents/none/cordon", body, expect=404)


async def test_labels_are_given_selected_and_bounded(fleet: ManagerApi) -> None:
    call = fleet.admin.call
    labelled = await call("PATCH", "/v1/agents/m-1/labels", {"labels": {"zone": "a", "gpu/nvlink": ""}})
    assert labelled["labels"] == {"zone": "a", "gpu/nvlink": ""}
    await call("PATCH", "/v1/agents/m-2/labels", {"labels": {"zone": "b"}})

    async def listed(label: str) -> list[str]:
        return [a["id"] for a in (await call("GET", f"/v1/agents?label={label}"))["items"]]

    assert (await listed("zone"), await listed("zone=b"), await listed("zone=a,gpu/nvlink")) == (
        ["m-1", "m-2"],
        ["m-2"],
        ["m-1"],
    )
    assert await listed("zone=b,gpu/nvlink") == []
    refused = await call("GET", "/v1/agents?label=%3Da", expect=400)
    assert refused["errors"] == [
        {"field": "label", "found": "=a", "allowed": "KEY=VALUE or KEY, with commas between them"}
    ]
    assert (await call("PATCH", "/v1/agents/m-1/labels", {"labels": {"zone": None}}))["labels"] == {"gpu/nvlink": ""}
    many = {f"k{n}": "v" for n in range(64)}
    full = await call("PATCH", "/v1/agents/m-1/labels", {"labels": many}, expect=409)
    assert (full["found"], full["allowed"]) == (65, 64)
    for labels in ({}, {"UPPER": "a"}, {"a": "b c"}, {"a": "x" * 64}, {**many, "one": "more"}):
        await call("PATCH", "/v1/agents/m-1/labels", {"labels": labels}, expect=400)
    await call("PATCH", "/v1/agents/none/labels", {"labels": {"a": "b"}}, expect=404)
    assert [action for action, *_ in await told(fleet)] == ["agent.labelled"] * 3


async def test_a_machine_with_nothing_on_it_is_removed_and_can_be_admitted_again(fleet: ManagerApi) -> None:
    call = fleet.admin.call
    await call("DELETE", "/v1/agents/m-2?reason=sold", expect=204)
    assert [a["id"] for a in (await call("GET", "/v1/agents"))["items"]] == ["m-1"]
    await call("DELETE", "/v1/agents/m-2", expect=404)
    removed = (await call("GET", "/v1/removed-agents"))["items"]
    assert [(a["id"], a["removed_by"], a["reason"], a["refused_at"]) for a in removed] == [
        ("m-2", "admin", "sold", None)
    ]
    await call("DELETE", "/v1/removed-agents/m-2", expect=204)
    await call("DELETE", "/v1/removed-agents/m-2", expect=404)
    assert [action for action, *_ in await told(fleet)] == ["agent.removed", "agent.admitted"]


async def test_a_machine_on_which_something_runs_is_not_removed(fleet: ManagerApi) -> None:
    call = fleet.admin.call
    for force in ("false", "true"):
        problem = await call("DELETE", f"/v1/agents/m-1?force={force}", expect=409)
        assert problem["type"].endswith("in-use")
        assert problem["sessions"] == {"default/chat": 1}
    assert await told(fleet) == []


async def test_a_machine_that_is_gone_is_removed_by_force_and_all_that_it_held_is_free(fleet: ManagerApi) -> None:
    call, pool = fleet.admin.call, fleet.pool
    await pool.execute("update agents set lost_at = now(), last_seen_at = now() - interval '1 minute' where id = 'm-1'")
    kernel = await pool.fetchval("select id from kernels where agent_id = 'm-1'")
    await pool.execute(
        "insert into allocations (kernel_id, agent_id, slot, amount) values ($1, 'm-1', 'cpu', 2)", kernel
    )
    problem = await call("DELETE", "/v1/agents/m-1", expect=409)
    assert "--force" in problem["detail"]
    fleet.behind.poked.clear()
    await call("DELETE", "/v1/agents/m-1?force=true", expect=204)
    assert {"services", "routes", "plans"} <= set(fleet.behind.poked)
    row = await pool.fetchrow("select status, reason_code, reason_text from sessions")
    assert tuple(row) == ("ended", "agent-removed", "admin removed its machine m-1, which was silent")
    assert await pool.fetchval("select count(*) from allocations") == 0
    replica = await pool.fetchrow("select agent_id, ended_at is null as live from kernels")
    assert tuple(replica) == ("m-1", False)


async def test_operators_alone_change_machines(fleet: ManagerApi) -> None:
    person = await fleet.user("eve")
    calls: list[tuple[str, str, Any]] = [
        ("PUT", "/v1/agents/m-1/cordon", {}),
        ("DELETE", "/v1/agents/m-1/cordon", None),
        ("PATCH", "/v1/agents/m-1/labels", {"labels": {"a": "b"}}),
        ("DELETE", "/v1/agents/m-1", None),
        ("GET", "/v1/removed-agents", None),
        ("DELETE", "/v1/removed-agents/m-1", None),
    ]
    for method, path, body in [*calls, ("POST", "/v1/agents/m-1/drain", {}), ("GET", "/v1/agents/m-1/drain", None)]:
        await person.call(method, path, body, expect=403)
    await person.close()


async def test_the_newest_removals_are_kept(fleet: ManagerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.manager.store.agents.MAX_REMOVED", 2)
    for name in ("m-3", "m-4", "m-5"):
        await fleet.machine(name)
        await fleet.admin.call("DELETE", f"/v1/agents/{name}", expect=204)
    removed = await fleet.admin.call("GET", "/v1/removed-agents?limit=1")
    assert ([a["id"] for a in removed["items"]], removed["next"]) == (["m-4"], "m-4")
    assert [a["id"] for a in (await fleet.admin.call("GET", "/v1/removed-agents?cursor=m-4"))["items"]] == ["m-5"]
