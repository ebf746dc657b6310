"""Usage: batches are stored once, sums by everything, hours of what replicas held, kept when all else is gone."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.messages.usage import UsageBatch, UsageRow
from headrace.common.db.pool import Pool, transaction
from headrace.manager.store import retention, usage
from headrace.manager.usecases.usage import Usage
from tests.support.api import Api
from tests.support.worlds.manager_api import ManagerApi

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
"""This hour, as each test finds it."""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WRITER = new_uuid()


@pytest.fixture(autouse=True)
def _this_hour() -> None:
    """Begin each test in its own hour: a run that goes past midnight would count for the day before."""
    global NOW  # noqa: PLW0603
    NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def batch(*rows: UsageRow, sequence: int = 1, writer: UUID = WRITER) -> UsageBatch:
    """A batch of proxy-1."""
    return UsageBatch(proxy_id="proxy-1", writer=writer, sequence=sequence, rows=rows)


def row(service: str, caller: str = "public", caller_id: str | None = None, **more: Any) -> UsageRow:
    """A request of this hour with ten tokens, seven of the prompt."""
    counts = {"hour": NOW, "last_at": NOW, "requests": 1, "prompt_tokens": 7, "completion_tokens": 3} | more
    return UsageRow.model_validate({"service_id": service, "caller": caller, "caller_id": caller_id, **counts})


async def report(api: Api, **query: Any) -> list[dict[str, Any]]:
    """Return the rows of an answer."""
    return list((await api.call("GET", "/v1/usage?" + urlencode({"from": str(NOW - DAY)} | query)))["items"])


async def services(api: ManagerApi) -> dict[str, dict[str, Any]]:
    """Two services in a project each, of which ann sees `default`."""
    await api.admin.call("POST", "/v1/projects", {"name": "other"})
    made = {
        name: await api.admin.call("POST", "/v1/services", {"name": name, "runtime": "cmd", "project": project})
        for name, project in (("chat", "default"), ("search", "other"))
    }
    return {name: await api.admin.service(one["name"]) for name, one in made.items()}


async def test_a_batch_is_stored_once_whoever_gets_it_and_how_often(api: ManagerApi) -> None:
    chat = (await services(api))["chat"]["id"]
    first = batch(row(chat), row(chat, requests=2))
    answers = await asyncio.gather(*(Usage(api.pool, lambda: NOW).store(first) for _ in range(4)))
    assert sorted(answer.added for answer in answers) == [0, 0, 0, 1]
    assert (await api.use.usage.store(batch(row(chat, refused=1), sequence=2))).added == 1
    assert (await api.use.usage.store(first)).added == 0, "an old one that was on its way for long"
    assert (await api.use.usage.store(batch(row(chat), writer=new_uuid()))).added == 1, "numbers of another process"
    assert (await api.use.usage.store(first.model_copy(update={"proxy_id": "proxy-2"}))).added == 1
    (all_of_it,) = await report(api.admin)
    assert (all_of_it["requests"], all_of_it["refused"], all_of_it["tokens"]) == (8, 1, 60)


async def test_usage_is_summed_by_everything_and_by_step(api: ManagerApi) -> None:
    made = await services(api)
    chat, search = made["chat"]["id"], made["search"]["id"]
    ann = await api.user("ann", default="member")
    token = await ann.call("POST", "/v1/services/chat/tokens", {"name": "app"})
    client = await api.admin.call("POST", "/v1/services/chat/clients", {"name": "robot"})
    revision = str(await api.pool.fetchval("select revision_id from services where name = 'chat'"))
    await api.use.usage.store(
        batch(
            row(chat, "token", token["id"], revision_id=revision, estimated_tokens=90),
            row(chat, "token", token["id"], revision_id=revision, hour=NOW - HOUR, errors=1, audio_ms=1500),
            row(chat, "client", client["id"], revision_id=revision),
            row(search),
            row(search, hour=NOW + 5 * DAY),
        )
    )

    async def by(what: str | None, api_: Api = api.admin, **query: str) -> dict[str | None, tuple[int, int]]:
        rows = await report(api_, **({"by": what} if what else {}), **query)
        return {one["name"]: (one["requests"], one["tokens"]) for one in rows}

    assert await by(None) == {None: (5, 140)}
    assert await by("project") == {"default": (3, 120), "other": (2, 20)}
    assert await by("service") == {"chat": (3, 120), "search": (2, 20)}
    assert await by("revision") == {"1": (3, 120), None: (2, 20)}
    assert await by("token") == {"app": (2, 110)}
    assert await by("client") == {"robot": (1, 10)}
    assert await by("user") == {"ann": (2, 110), "admin": (1, 10), None: (2, 20)}
    assert await by(None, project="other") == await by(None, service="search") == {None: (2, 20)}
    assert await by("project", ann) == {"default": (3, 120)}
    await ann.call("GET", "/v1/usage?project=other", expect=404)
    await ann.call("GET", "/v1/usage?service=search", expect=404)
    hours = await report(api.admin, step="hour", service="chat")
    assert [(datetime.fromisoformat(one["at"]), one["requests"]) for one in hours] == [(NOW - HOUR, 1), (NOW, 2)]
    assert (hours[0]["errors"], hours[0]["audio_seconds"]) == (1, 1.5)
    (of_token,) = await report(api.admin, by="token")
    assert (of_token["service"], of_token["gpu_hours"]) == ("chat", None)


async def test_what_replicas_hold_is_counted_until_it_is_freed_and_kept(api: ManagerApi) -> None:
    made = await services(api)
    session, kernel = await api.runs("chat")
    hold = "insert into allocations (kernel_id, agent_id, slot, device, amount, held_since) values ($1, 'agent-1', $2, $3, $4, $5)"
    await api.pool.execute('update agents set slots = slots || \'{"cuda.device": "2"}\'')
    for slot, device, amount in (
        ("cpu", "", 4),
        ("mem", "", 2**30),
        ("cuda.device", "gpu-a", 1),
        ("cuda.device", "gpu-b", 1),
    ):
        await api.pool.execute(hold, kernel, slot, device, amount, NOW - 5 * HOUR)
    await api.pool.execute("update sessions set status = 'ended', ended_at = $2 where id = $1", session, NOW - HOUR)
    await api.pool.execute("update kernels set ended_at = $2 where id = $1", kernel, NOW - HOUR)

    async def hours(**query: Any) -> list[tuple[float, float, float]]:
        return [
            (one["gpu_hours"], one["cpu_hours"], one["memory_gib_hours"]) for one in await report(api.admin, **query)
        ]

    held = await hours(), await hours(by="service"), await hours(step="hour"), await hours(step="day", to=str(NOW))
    assert held[0] == held[1] == [(8.0, 16.0, 4.0)]
    assert held[2] == [(2.0, 4.0, 1.0)] * 4
    assert sum(gpus for gpus, _, _ in held[3]) == 8.0
    half_an_hour = {"from": str(NOW - 3 * HOUR), "to": str(NOW - 2.5 * HOUR)}
    assert await hours(**half_an_hour) == [(1.0, 2.0, 0.5)]

    await api.pool.execute("delete from allocations where slot = 'cpu'")
    await api.pool.execute("delete from allocations")
    freed = await hours(), await hours(by="service"), await hours(step="hour"), await hours(step="day", to=str(NOW))
    assert freed == held

    await api.pool.execute("delete from sessions")
    await api.admin.call("DELETE", "/v1/services/chat")
    await api.pool.execute(
        "delete from revisions where service_id = (select id from services where name = 'chat');"
        "delete from services where name = 'chat'"
    )
    (gone,) = await report(api.admin, by="service")
    assert (gone["id"], gone["name"], gone["gpu_hours"]) == (made["chat"]["id"], "chat", 8.0)


async def test_what_runs_is_counted_up_to_now(api: ManagerApi) -> None:
    await services(api)
    _, kernel = await api.runs("chat")
    await api.pool.execute(
        "insert into allocations (kernel_id, agent_id, slot, amount, held_since)"
        " values ($1, 'agent-1', 'cpu', 2, now() - interval '90 minutes')",
        kernel,
    )
    (running,) = await report(api.admin, by="service", to=str(NOW + DAY))
    assert 3.0 <= running["cpu_hours"] < 3.5
    assert running["gpu_hours"] == 0


async def test_hours_become_days_and_days_are_forgotten(pool: Pool, api: ManagerApi) -> None:
    chat = (await services(api))["chat"]["id"]
    old = (NOW - 70 * DAY).replace(hour=0)
    rows = [row(chat, hour=old + number * HOUR, last_at=old + DAY) for number in range(24)]
    await api.use.usage.store(batch(*rows, row(chat)))
    summed = []
    for _ in range(3):
        async with transaction(pool) as con:
            summed.append(await usage.sum_up_days(con, timedelta(days=62), 15))
    assert summed == [15, 8, 0]
    since = {"from": str(old), "step": "hour"}
    assert [(one["requests"], one["tokens"]) for one in await report(api.admin, **since | {"to": str(old + DAY)})] == [
        (24, 240)
    ]
    async with transaction(pool) as con:
        assert await retention.drop(con, "request_usage", timedelta(days=65), 10) == 1
    assert [one["requests"] for one in await report(api.admin, **{"from": str(old)})] == [1]


async def test_questions_have_bounds_and_say_them(api: ManagerApi) -> None:
    for query, words in (
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "before"),
        ({"from": "2000-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "3660 days"),
        ({"from": "2025-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "step": "hour"}, "at most 800 steps"),
        ({"by": "machine"}, "project"),
    ):
        refused = await api.admin.call("GET", "/v1/usage?" + urlencode(query), expect=400)
        assert words in str(refused["errors"])


async def test_csv_has_the_same_rows_and_no_formulas(api: ManagerApi) -> None:
    chat = (await services(api))["chat"]["id"]
    token = await api.admin.call("POST", "/v1/services/chat/tokens", {"name": "=1+1"})
    await api.use.usage.store(batch(row(chat, "token", token["id"])))
    answer = await api.admin.http.get("/v1/usage.csv?by=token")
    assert answer.headers["content-type"].startswith("text/csv")
    (line,) = csv.DictReader(io.StringIO(answer.text))
    assert (line["name"], line["requests"], line["tokens"], line["gpu_hours"]) == ("'=1+1", "1", "10", "")


async def test_callers_of_a_service_know_what_they_have_left(api: ManagerApi) -> None:
    chat = (await services(api))["chat"]["id"]
    await api.admin.call("PATCH", "/v1/services/chat", {"caller_limits": {"tokens_per_day": 100}})
    own = await api.admin.call("POST", "/v1/services/chat/tokens", {"name": "app", "limits": {"tokens_per_day": 15}})
    client = await api.admin.call("POST", "/v1/services/chat/clients", {"name": "robot"})
    everywhere = await api.admin.call("POST", "/v1/projects/default/tokens", {"name": "all"})
    gone = await api.admin.call("POST", "/v1/services/chat/tokens", {"name": "gone"})
    await api.admin.call("DELETE", f"/v1/services/chat/tokens/{gone['id']}")
    await api.use.usage.store(
        batch(
            row(chat, "token", own["id"], revision_id=new_uuid()),
            row(
                chat, "token", own["id"], refused=4, requests=0, estimated_tokens=6, last_at=NOW - timedelta(minutes=1)
            ),
            row(chat, "client", client["id"]),
            row(chat, "client", client["id"], hour=NOW - 2 * DAY, last_at=NOW - 2 * DAY),
            row(chat, "token", gone["id"]),
        )
    )
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = (await api.admin.call("GET", "/v1/services/chat/callers"))["items"]
    assert [(one["kind"], one["name"], one["requests"], one["refused"], one["tokens"]) for one in found] == [
        ("token", "app", 1, 4, 26),
        ("client", "robot", 1, 0, 10),
        ("token", "all", 0, 0, 0),
    ]
    assert [one["left_today"] for one in found] == [0, 90, 100]
    assert {datetime.fromisoformat(one["resets_at"]) for one in found} == {today + DAY}
    assert [one["last_used_at"] and datetime.fromisoformat(one["last_used_at"]) for one in found] == [NOW, NOW, None]
    assert found[2]["id"] == everywhere["id"]
    week = await api.admin.call("GET", f"/v1/services/chat/callers?window_s={7 * 86_400}&limit=2")
    assert [one["tokens"] for one in week["items"]] == [26, 20]
    (last,) = (await api.admin.call("GET", f"/v1/services/chat/callers?cursor={week['next']}"))["items"]
    assert last["id"] == everywhere["id"]


async def test_limits_of_a_projects_token_are_over_all_its_services(api: ManagerApi) -> None:
    await services(api)
    chat = (await api.admin.service("chat"))["id"]
    await api.admin.call("POST", "/v1/services", {"name": "embed", "runtime": "cmd", "project": "default"})
    await api.admin.call("PATCH", "/v1/services/embed", {"caller_limits": {"tokens_per_day": 50}})
    embed = (await api.admin.service("embed"))["id"]
    limits = {"tokens_per_day": 100, "tokens_per_minute": 600}
    everywhere = await api.admin.call("POST", "/v1/projects/default/tokens", {"name": "all", "limits": limits})
    plain = await api.admin.call("POST", "/v1/projects/default/tokens", {"name": "plain"})
    rows = [row(service, "token", token["id"]) for service in (chat, embed) for token in (everywhere, plain)]
    await api.use.usage.store(batch(*rows, row(chat, "token", everywhere["id"], prompt_tokens=20)))

    async def seen(path: str) -> dict[str, tuple[int, int, int | None, str]]:
        found = (await api.admin.call("GET", path))["items"]
        return {
            one["name"]: (one["tokens"], one["tokens_today"], one["left_today"], one["limits_scope"]) for one in found
        }

    assert await seen("/v1/services/chat/callers") == {
        "all": (33, 33, 57, "project"),
        "plain": (10, 10, None, "service"),
    }
    assert await seen("/v1/services/embed/callers") == {
        "all": (10, 10, 57, "project"),
        "plain": (10, 10, 40, "service"),
    }
    assert await seen("/v1/projects/default/callers") == {
        "all": (43, 43, 57, "project"),
        "plain": (20, 20, None, "service"),
    }
    stranger = await api.user("ann")
    await stranger.call("GET", "/v1/projects/default/callers", expect=404)


async def test_tokens_of_the_minute_follow_what_was_used_and_when(api: ManagerApi) -> None:
    chat = (await services(api))["chat"]["id"]
    await api.admin.call("PATCH", "/v1/services/chat", {"caller_limits": {"tokens_per_minute": 6000}})
    token = await api.admin.call("POST", "/v1/services/chat/tokens", {"name": "app"})
    client = await api.admin.call("POST", "/v1/services/chat/clients", {"name": "robot", "limits": {"in_flight": 1}})
    now = datetime.now(UTC)

    async def used(
        sequence: int, tokens: int, ago_s: float, first_ago_s: float | None = None
    ) -> tuple[float, datetime]:
        at = now - timedelta(seconds=ago_s)
        first = None if first_ago_s is None else now - timedelta(seconds=first_ago_s)
        counts = {"prompt_tokens": tokens, "completion_tokens": 0, "last_at": at, "first_at": first}
        rows = [row(chat, kind, one["id"], **counts) for kind, one in (("token", token), ("client", client))]
        await api.use.usage.store(batch(*rows, sequence=sequence))
        found = await api.pool.fetchrow("select * from caller_use where caller_id = $1", UUID(token["id"]))
        assert found is not None
        return found["minute_tokens"], found["last_used_at"]

    assert await used(1, 3000, 300) == (3000, now - timedelta(seconds=300))
    assert (await used(2, 1000, 290))[0] == 3000, "a sixth of a minute has refilled"
    assert (await used(3, 100, 295))[0] == 3100, "a batch that came late"
    assert (await used(4, 7000, 100))[0] == 7000, "more than the limit: a debt"
    assert (await used(5, 60_000, 0, 600))[0] == 60_000 - 54_000 + 0, "ten minutes that no manager heard of"
    assert (await used(6, 10**9, 0))[0] == 61 * 6000, "an hour of debt at most"
    (app, robot) = (await api.admin.call("GET", "/v1/services/chat/callers"))["items"]
    assert (app["left_this_minute"], robot["left_this_minute"], robot["refilled_at"]) == (0, None, None)
    assert datetime.fromisoformat(app["refilled_at"]) == now + timedelta(minutes=61)


async def test_tokens_and_clients_tell_when_they_called_last(api: ManagerApi) -> None:
    chat = (await services(api))["chat"]["id"]
    paths = ("/v1/services/chat/tokens", "/v1/services/chat/clients", "/v1/projects/default/tokens")
    made = [await api.admin.call("POST", path, {"name": "app"}) for path in paths]
    assert {one["last_used_at"] for one in made} == {None}
    kinds = ("token", "client", "token")
    rows = [row(chat, kind, one["id"], requests=0, refused=1) for kind, one in zip(kinds, made, strict=True)]
    await api.use.usage.store(batch(*rows))
    for path, one in zip(paths, made, strict=True):
        (listed,) = (await api.admin.call("GET", path))["items"]
        assert datetime.fromisoformat(listed["last_used_at"]) == NOW
        assert listed["etag"] == one["etag"]
        changed = await api.admin.call("PATCH", f"{path}/{one['id']}", {"share": 3})
        assert datetime.fromisoformat(changed["last_used_at"]) == NOW
