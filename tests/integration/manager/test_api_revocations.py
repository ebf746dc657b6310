"""A revocation says at which app-proxies it is in force: by the first generation of each table that has it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from headrace.common.contracts.ids import new_uuid
from headrace.common.db.pool import Connection, transaction
from headrace.manager.domain.records.publications import Content
from headrace.manager.loops.housekeeping import HousekeepingLoop, Retention
from headrace.manager.store import publications
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi

CHAT, PROJECT = "/v1/services/chat", "/v1/projects/default"


async def service(api: ManagerApi, name: str = "chat") -> UUID:
    made = await api.admin.call("POST", "/v1/services", {"name": name, "runtime": "cmd", "project": "default"})
    return UUID(made["id"])


async def publish(con: Connection, service_id: UUID) -> int:
    """What the routes loop does in one transaction to a table that changed."""
    subject = f"route.{service_id}"
    generation = (await publications.lock(con, [subject]))[subject].generation + 1
    await publications.advance(con, {subject: (generation, Content(bytes(32), 1))})
    return generation


async def published(api: ManagerApi, service_id: UUID) -> int:
    async with transaction(api.pool) as con:
        return await publish(con, service_id)


def has(api: ManagerApi, service_id: UUID, **generations: int) -> None:
    """Let app-proxies report these generations."""
    api.behind.proxies.has[service_id] = {name.replace("_", "-"): number for name, number in generations.items()}


async def test_a_token_is_refused_where_the_next_table_was_applied(api: ManagerApi) -> None:
    chat = await service(api)
    made = await api.admin.call("POST", f"{CHAT}/tokens", {})
    there = await published(api, chat)
    has(api, chat, proxy_a=there, proxy_b=there)
    api.behind.poked.clear()
    seen = await api.admin.call("DELETE", f"{CHAT}/tokens/{made['id']}")
    assert api.behind.poked == ["routes"]
    assert (seen["id"], seen["in_force"], seen["applied"]) == (made["id"], False, [])
    assert [(one["proxy_id"], one["reason"]["code"]) for one in seen["missing"]] == [
        ("proxy-a", "app-proxy-behind"),
        ("proxy-b", "app-proxy-behind"),
    ]
    there = await published(api, chat)
    has(api, chat, proxy_a=there, proxy_b=there - 1)
    api.behind.proxies.silent["proxy-b"] = timedelta(seconds=12)
    seen = await api.admin.call("GET", f"{CHAT}/revocations/{made['id']}")
    assert (seen["in_force"], seen["applied"]) == (False, ["proxy-a"])
    assert seen["missing"][0]["reason"]["text"].startswith("it has not reported for 12 s")
    for _ in range(3):  # whatever else changes
        await published(api, chat)
    has(api, chat, proxy_a=there, proxy_b=there)
    seen = await api.admin.call("GET", f"{CHAT}/revocations/{made['id']}")
    assert (seen["in_force"], seen["reason"]["text"]) == (True, "in force at 2 of 2 app-proxies")
    again = await api.admin.call("DELETE", f"{CHAT}/tokens/{made['id']}")
    assert again["in_force"], "revoked again, it is in force since then"


async def test_a_project_token_is_refused_where_all_tables_of_the_project_were_applied(api: ManagerApi) -> None:
    made = await api.admin.call("POST", f"{PROJECT}/tokens", {})
    services = [await service(api, name) for name in ("chat", "echo", "never-published")]
    for one in services[:2]:
        has(api, one, proxy_a=await published(api, one))
    seen = await api.admin.call("DELETE", f"{PROJECT}/tokens/{made['id']}")
    assert seen["missing"][0]["reason"]["text"] == "it has not applied 3 route tables with it yet"
    for one in services:
        assert not (await api.admin.call("GET", f"{PROJECT}/revocations/{made['id']}"))["in_force"]
        has(api, one, proxy_a=await published(api, one))
    assert (await api.admin.call("GET", f"{PROJECT}/revocations/{made['id']}"))["in_force"]


@pytest.mark.parametrize("how", ["revoked", "rotated"])
async def test_a_client_is_followed_too(api: ManagerApi, how: str) -> None:
    chat = await service(api)
    made = await api.admin.call("POST", f"{CHAT}/clients", {"name": "robot"})
    has(api, chat, proxy_a=await published(api, chat))
    if how == "revoked":
        assert (await api.admin.call("DELETE", f"{CHAT}/clients/robot"))["in_force"] is False
    else:
        await api.admin.call("POST", f"{CHAT}/clients/robot/rotate")
    assert (await api.admin.call("GET", f"{CHAT}/revocations/{made['id']}"))["in_force"] is False
    has(api, chat, proxy_a=await published(api, chat))
    assert (await api.admin.call("GET", f"{CHAT}/revocations/{made['id']}"))["in_force"] is True


async def test_a_table_that_was_read_before_the_revocation_does_not_count(api: ManagerApi) -> None:
    """A publication under way has read its rows already: the one after it is the first that says so."""
    chat = await service(api)
    made = await api.admin.call("POST", f"{CHAT}/tokens", {})
    async with transaction(api.pool) as con:
        without = await publish(con, chat)
        revoking = asyncio.create_task(api.admin.call("DELETE", f"{CHAT}/tokens/{made['id']}"))
        waiting = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ilike '%publications%'"
        )
        await eventually(lambda: _counts(api, waiting))
        assert not revoking.done()
    await revoking
    has(api, chat, proxy_a=without)
    path = f"{CHAT}/revocations/{made['id']}"
    assert (await api.admin.call("GET", path))["in_force"] is False
    has(api, chat, proxy_a=without + 1)
    assert (await api.admin.call("GET", path))["in_force"] is True


async def _counts(api: ManagerApi, query: str) -> bool:
    return bool(await api.pool.fetchval(query))


async def test_what_is_not_followed_is_said_to_be_so(api: ManagerApi) -> None:
    chat = await service(api)
    has(api, chat, proxy_a=await published(api, chat))
    made = await api.admin.call("POST", f"{CHAT}/tokens", {})
    path = f"{CHAT}/revocations/{made['id']}"

    async def seen() -> tuple[Any, Any]:
        found = await api.admin.call("GET", path)
        return found["in_force"], found["reason"]["code"]

    assert await seen() == (None, "not-followed"), "it was not revoked"
    await api.admin.call("DELETE", f"{CHAT}/tokens/{made['id']}")
    assert await seen() == (False, "not-in-force")
    await api.pool.execute("update revocations set at = now() - interval '25 hours'")
    await HousekeepingLoop(api.pool, lambda *_: None, Retention()).one_pass()
    assert await seen() == (None, "not-followed"), "a day has gone"
    again = await api.admin.call("DELETE", f"{CHAT}/tokens/{made['id']}")
    assert again["in_force"] is None, "no table will change because of it"
    await api.admin.call("GET", f"{CHAT}/revocations/none", expect=404)
    stranger = await api.user("eve")
    await stranger.call("GET", path, expect=404)
    await stranger.close()


async def test_revocations_of_another_service_are_not_shown(api: ManagerApi) -> None:
    await service(api)
    echo = await service(api, "echo")
    made = await api.admin.call("POST", "/v1/services/echo/tokens", {})
    has(api, echo, proxy_a=0)
    await api.admin.call("DELETE", f"/v1/services/echo/tokens/{made['id']}")
    assert (await api.admin.call("GET", f"{CHAT}/revocations/{made['id']}"))["in_force"] is None
    await api.admin.call("DELETE", f"{CHAT}/tokens/{new_uuid()}", expect=404)
