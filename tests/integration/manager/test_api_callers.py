"""Tokens with limits, tokens of whole projects, and named clients: what is shown, kept, published and ended."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import jwt
import pytest

from headrace.appproxy.dataplane.auth.authenticator import Authenticator
from headrace.appproxy.dataplane.route_table import RouteEntry
from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.messages.routes import RateLimits, RouteTable
from headrace.common.contracts.problems import Problem
from headrace.common.runtime.clock import utc_now
from headrace.manager.store import tables
from tests.support.worlds.manager_api import ManagerApi

CLIENTS, TOKENS, PROJECT = "/v1/services/chat/clients", "/v1/services/chat/tokens", "/v1/projects/default/tokens"
UNLIMITED = RateLimits().model_dump()


async def service(api: ManagerApi, name: str = "chat") -> None:
    await api.admin.call("POST", "/v1/services", {"name": name, "runtime": "cmd", "project": "default"})
    api.behind.poked.clear()


async def published(api: ManagerApi, name: str = "chat") -> RouteTable:
    """Return the route table as the routes loop would publish it now."""
    async with api.pool.acquire() as con:
        routes = tables.Routes()
        drafts = [draft.build() for draft in await routes.read(con, await routes.keys(con, "", 1000))]
    return next(table for table in drafts if table.name == name)


async def history(api: ManagerApi, name: str = "chat") -> list[tuple[str, dict[str, Any]]]:
    items = (await api.admin.call("GET", f"/v1/services/{name}/history"))["items"]
    return [(item["action"], item["details"]) for item in reversed(items)]


async def test_a_clients_secret_is_shown_once_and_only_its_digest_is_kept(api: ManagerApi) -> None:
    await service(api)
    made = await api.admin.call("POST", CLIENTS, {"name": "robot", "limits": {"in_flight": 3}, "share": 2})
    assert re.fullmatch(r"hrc_[A-Za-z0-9_-]{43}", made["secret"])
    assert (made["limits"], made["share"]) == ({**UNLIMITED, "in_flight": 3}, 2)
    assert api.behind.poked == ["routes"]
    (listed,) = (await api.admin.call("GET", CLIENTS))["items"]
    assert listed == {name: value for name, value in made.items() if name != "secret"}
    digest = hashlib.sha256(made["secret"].encode()).hexdigest()
    (told,) = (await published(api)).clients
    assert (str(told.client_id), told.name, told.secret_sha256, told.share) == (made["id"], "robot", digest, 2)
    assert told.limits == RateLimits(in_flight=3)
    for table in ("clients", "events", "publications"):
        kept = await api.pool.fetchval(f"select coalesce(jsonb_agg(to_jsonb(t))::text, '') from {table} t")
        assert made["secret"] not in kept, table


async def test_rotation_makes_another_secret_of_the_same_client(api: ManagerApi) -> None:
    await service(api)
    made = await api.admin.call("POST", CLIENTS, {"name": "robot", "share": 2})
    api.behind.poked.clear()
    rotated = await api.admin.call("POST", f"{CLIENTS}/robot/rotate")
    assert (rotated["id"], rotated["share"]) == (made["id"], 2)
    assert rotated["secret"] != made["secret"]
    assert rotated["rotated_at"] is not None
    assert api.behind.poked == ["routes"]
    (told,) = (await published(api)).clients
    assert told.secret_sha256 == hashlib.sha256(rotated["secret"].encode()).hexdigest()


async def test_a_revoked_client_leaves_the_table_and_its_name(api: ManagerApi) -> None:
    await service(api)
    made = await api.admin.call("POST", CLIENTS, {"name": "robot"})
    await api.admin.call("POST", CLIENTS, {"name": "robot"}, expect=409)
    await api.admin.call("DELETE", f"{CLIENTS}/{made['id']}")
    for method, path in (("DELETE", ""), ("POST", "/rotate")):
        await api.admin.call(method, f"{CLIENTS}/{made['id']}{path}", expect=404)
    await api.admin.call("PATCH", f"{CLIENTS}/robot", {"share": 3}, expect=404)
    assert (await api.admin.call("GET", CLIENTS))["items"] == []
    assert (await published(api)).clients == ()
    again = await api.admin.call("POST", CLIENTS, {"name": "robot"})
    assert again["id"] != made["id"]
    await service(api, "other")
    await api.admin.call("POST", "/v1/services/other/clients", {"name": "robot"})
    await api.admin.call("DELETE", f"/v1/services/other/clients/{again['id']}", expect=404)
    actions = [action for action, _ in await history(api)]
    assert actions == ["service.created", "client.created", "client.revoked", "client.created"]


async def test_clients_page_by_page(api: ManagerApi) -> None:
    await service(api)
    for number in range(3):
        await api.admin.call("POST", CLIENTS, {"name": f"c{number}"})
    first = await api.admin.call("GET", f"{CLIENTS}?limit=2")
    rest = await api.admin.call("GET", f"{CLIENTS}?limit=2&cursor={first['next']}")
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (2, 1, None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "Robot"},
        {"name": "a:b"},
        {"name": "x" * 64},
        {"name": "a", "share": 0},
        {"name": "a", "share": 1001},
        {"name": "a", "limits": {"in_flght": 1}},
        {"name": "a", "limits": {"in_flight": 0}},
        {"name": "a", "limits": {"in_flight": 10**30}},
        {"name": "a", "limits": {"requests_per_second": 0}},
        {"name": "a", "limits": {"requests_per_second": 1e7}},
        {"name": "a", "limits": {"requests_per_second": 9e-6}},
        {"name": "a", "limits": {"requests_per_second": 5e-324}},
        {"name": "a", "limits": {"tokens_per_minute": 1.5}},
        {"name": "a", "limits": None},
        {"name": "a", "secret": "mine"},
    ],
)
async def test_bodies_that_are_refused(api: ManagerApi, body: dict[str, Any]) -> None:
    await service(api)
    await api.admin.call("POST", CLIENTS, body, expect=400)
    if "limits" in body or "share" in body:
        await api.admin.call("POST", TOKENS, {**body, "name": ""}, expect=400)
        made = await api.admin.call("POST", TOKENS, {})
        if body.get("limits", {}) is not None:
            change = {name: value for name, value in body.items() if name != "name"}
            await api.admin.call("PATCH", f"{TOKENS}/{made['id']}", change, expect=400)


async def test_limits_of_a_token_change_one_by_one_and_are_published_while_it_lives(api: ManagerApi) -> None:
    await service(api)
    plain = await api.admin.call("POST", TOKENS, {})
    assert (plain["limits"], plain["share"]) == (UNLIMITED, 1)
    made = await api.admin.call("POST", TOKENS, {"limits": {"in_flight": 2, "tokens_per_day": 1000}, "share": 4})
    path = f"{TOKENS}/{made['id']}"

    async def change(body: dict[str, Any]) -> tuple[dict[str, Any], int]:
        seen = await api.admin.call("PATCH", path, body)
        listed = {item["id"]: item for item in (await api.admin.call("GET", TOKENS))["items"]}
        assert listed[made["id"]] == seen
        return {name: value for name, value in seen["limits"].items() if value is not None}, seen["share"]

    (told,) = (await published(api)).token_limits
    assert (str(told.token_id), told.share, told.limits) == (
        made["id"],
        4,
        RateLimits(in_flight=2, tokens_per_day=1000),
    )
    api.behind.poked.clear()
    assert await change({"limits": {"in_flight": 5, "requests_per_second": 0.5}}) == (
        {"in_flight": 5, "requests_per_second": 0.5, "tokens_per_day": 1000},
        4,
    )
    assert api.behind.poked == ["routes"]
    assert await change({"limits": {"tokens_per_day": None}, "share": 1}) == (
        {"in_flight": 5, "requests_per_second": 0.5},
        1,
    )
    (told,) = (await published(api)).token_limits
    assert told.limits == RateLimits(in_flight=5, requests_per_second=0.5)
    assert await change({"limits": None}) == ({}, 1)
    (told,) = (await published(api)).token_limits
    assert (told.limits, told.share) == (RateLimits(), 1), "the token itself says otherwise"
    await change({"share": 9})
    await api.pool.execute("update tokens set expires_at = now() - interval '1 s' where id = $1", made["id"])
    assert (await published(api)).token_limits == (), "expired"
    await api.pool.execute("update tokens set expires_at = now() + interval '1 h' where id = $1", made["id"])
    assert len((await published(api)).token_limits) == 1
    await api.admin.call("DELETE", path)
    table = await published(api)
    assert (table.token_limits, [str(r.token_id) for r in table.revocations]) == ((), [made["id"]])
    await api.admin.call("PATCH", f"{TOKENS}/{new_uuid()}", {"share": 2}, expect=404)
    await api.admin.call("PATCH", f"{TOKENS}/none", {"share": 2}, expect=404)
    changes = [details for action, details in await history(api) if action == "token.updated"]
    assert changes[0] == {"token_id": made["id"], "limits": {"in_flight": 5, "requests_per_second": 0.5}}


async def test_a_token_that_was_only_renamed_is_in_no_table(api: ManagerApi) -> None:
    await service(api)
    made = await api.admin.call("POST", TOKENS, {})
    await api.admin.call("PATCH", f"{TOKENS}/{made['id']}", {"name": "ci"})
    assert (await published(api)).token_limits == ()


async def test_a_token_says_its_limits_itself(api: ManagerApi) -> None:
    await service(api)
    limits = {"in_flight": 2, "requests_per_second": 0.5}
    plain = await api.admin.call("POST", TOKENS, {})
    made = await api.admin.call("POST", TOKENS, {"limits": limits, "share": 4})
    of_all = await api.admin.call("POST", PROJECT, {"limits": limits})
    said = [jwt.decode(one["token"], options={"verify_signature": False}) for one in (plain, made, of_all)]
    assert [(claims.get("limits"), claims.get("share")) for claims in said] == [
        (None, None),
        (limits, 4),
        (limits, None),
    ]
    most = {
        "in_flight": 10**6,
        "requests_per_second": 123456.789012345,
        "tokens_per_minute": 10**12,
        "tokens_per_day": 10**12,
    }
    longest = await api.admin.call("POST", TOKENS, {"limits": most, "share": 1000})
    assert len(longest["token"]) < 700


async def test_limits_of_a_client_change_too(api: ManagerApi) -> None:
    await service(api)
    await api.admin.call("POST", CLIENTS, {"name": "robot", "limits": {"in_flight": 2}})
    seen = await api.admin.call("PATCH", f"{CLIENTS}/robot", {"limits": {"tokens_per_minute": 60}, "share": 3})
    assert (seen["limits"], seen["share"]) == ({**UNLIMITED, "in_flight": 2, "tokens_per_minute": 60}, 3)
    (told,) = (await published(api)).clients
    assert told.limits == RateLimits(in_flight=2, tokens_per_minute=60)


async def test_a_project_token_names_the_project_and_is_told_to_all_of_its_services(api: ManagerApi) -> None:
    await service(api)
    await api.admin.call("POST", "/v1/projects", {"name": "other"})
    await api.admin.call("POST", "/v1/services", {"name": "elsewhere", "runtime": "cmd", "project": "other"})
    made = await api.admin.call("POST", PROJECT, {"name": "all", "limits": {"in_flight": 1}})
    claims = jwt.decode(made["token"], options={"verify_signature": False})
    project = await api.admin.call("GET", "/v1/projects/default")
    assert (claims["sub"], claims["jti"]) == (project["id"], made["id"])
    (listed,) = (await api.admin.call("GET", PROJECT))["items"]
    assert listed == {name: value for name, value in made.items() if name != "token"}
    assert (await api.admin.call("GET", TOKENS))["items"] == [], "it is none of the service's own"
    await service(api, "later")
    for name, expected in (("chat", [made["id"]]), ("later", [made["id"]]), ("elsewhere", [])):
        assert [str(limits.token_id) for limits in (await published(api, name)).token_limits] == expected
    for path in (f"{TOKENS}/{made['id']}", f"/v1/projects/other/tokens/{made['id']}"):
        await api.admin.call("DELETE", path, expect=404)
        await api.admin.call("PATCH", path, {"share": 2}, expect=404)
    assert (await api.admin.call("PATCH", f"{PROJECT}/{made['id']}", {"share": 2}))["share"] == 2
    api.behind.poked.clear()
    await api.admin.call("DELETE", f"{PROJECT}/{made['id']}")
    assert api.behind.poked == ["routes"]
    for name, expected in (("chat", [made["id"]]), ("later", [made["id"]]), ("elsewhere", [])):
        table = await published(api, name)
        assert ([str(r.token_id) for r in table.revocations], table.token_limits) == (expected, ())
    rows = await api.pool.fetch(
        "select action, project_id, service_id from events where action like 'token.%' order by id"
    )
    assert [(row["action"], str(row["project_id"]), row["service_id"]) for row in rows] == [
        (action, project["id"], None) for action in ("token.created", "token.updated", "token.revoked")
    ]


async def test_callers_end_with_what_they_open(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "short"})
    await api.admin.call(
        "POST", "/v1/services", {"name": "chat", "runtime": "cmd", "project": "short", "open_to_public": False}
    )
    await api.pool.execute(
        "insert into publications (subject, generation, digest) select 'route.' || id::text, 1, '' from services"
    )
    await api.pool.execute("update publications set published_at = now()")
    for path, body in (
        (CLIENTS, {"name": "robot"}),
        (TOKENS, {"share": 2}),
        ("/v1/projects/short/tokens", {"share": 2}),
    ):
        await api.admin.call("POST", path, body)
    await api.admin.call("DELETE", "/v1/services/chat", expect=204)
    table = await published(api)
    assert (table.removed, table.clients, table.token_limits, table.token_keys) == (True, (), (), ())
    for path in (CLIENTS, TOKENS):
        await api.admin.call("GET", path, expect=404)
    await api.admin.call("DELETE", "/v1/projects/short", expect=204)
    await api.admin.call("GET", "/v1/projects/short/tokens", expect=404)
    assert (
        await api.pool.fetchval("select count(*) from tokens where project_id is not null and revoked_at is null") == 0
    )


async def test_what_the_manager_publishes_opens_the_gate(api: ManagerApi) -> None:
    await service(api)
    client = await api.admin.call("POST", CLIENTS, {"name": "robot", "limits": {"in_flight": 3}})
    own, whole = await api.admin.call("POST", TOKENS, {"share": 5}), await api.admin.call("POST", PROJECT, {})
    basic = b"Basic " + base64.b64encode(f"robot:{client['secret']}".encode())
    shown = [basic, f"Bearer {own['token']}".encode(), f"BackendAI {whole['token']}".encode()]
    gate, now_s = Authenticator(), utc_now().timestamp()
    before = RouteEntry(await published(api))
    callers = [gate.authenticate(before, header, now_s) for header in shown]
    assert [caller.key for caller in callers] == [
        f"client:{client['id']}",
        f"token:{own['id']}",
        f"token:{whole['id']}",
    ]
    assert [(caller.name, caller.limits, caller.share) for caller in callers] == [
        (b"robot", RateLimits(in_flight=3), 1),
        (None, None, 5),
        (None, None, 1),
    ]
    await api.admin.call("POST", f"{CLIENTS}/robot/rotate")
    for path, token in ((TOKENS, own), (PROJECT, whole)):
        await api.admin.call("DELETE", f"{path}/{token['id']}")
    after = RouteEntry(await published(api))
    for header, reason in zip(shown, ("wrong-secret", "revoked-token", "revoked-token"), strict=True):
        with pytest.raises(Problem) as caught:
            gate.authenticate(after, header, now_s)
        assert caught.value.extra["reason"] == reason


async def test_a_token_that_is_over_is_not_changed(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", {"name": "chat", "runtime": "cmd", "image": "img"})
    path = "/v1/services/chat/tokens"
    revoked, expired, valid = [await api.admin.call("POST", path, {}) for _ in range(3)]
    await api.admin.call("DELETE", f"{path}/{revoked['id']}")
    await api.pool.execute("update tokens set expires_at = now() where id = $1", expired["id"])
    for token, over in ((revoked, "was revoked"), (expired, "has expired")):
        refused = await api.admin.call("PATCH", f"{path}/{token['id']}", {"name": "new"}, expect=409)
        assert over in refused["detail"]
    await api.admin.call("PATCH", f"{path}/{valid['id']}", {"name": "new"})
    assert [token["name"] for token in (await api.admin.call("GET", path))["items"]] == ["", "", "new"]
