"""Traffic settings of services and weights of replicas: what is taken, kept, shown and published."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from headrace.common.contracts.cors import Cors
from headrace.common.contracts.ids import ProxyId, new_uuid
from headrace.common.contracts.messages.routes import Balance, Limits, RateLimits, RouteTable
from headrace.common.runtime.clock import utc_now
from headrace.manager.store import tables
from tests.support.factories.settings import PROXY_URL, TAKEN_PORT
from tests.support.worlds.manager_api import ManagerApi

CHAT = "/v1/services/chat"


async def create(api: ManagerApi, name: str = "chat", *, expect: int = 201, **body: Any) -> Any:
    return await api.admin.call("POST", "/v1/services", {"name": name, "runtime": "cmd", **body}, expect=expect)


async def published(api: ManagerApi, name: str = "chat") -> RouteTable:
    """Return the route table as the routes loop would publish it now."""
    async with api.pool.acquire() as con:
        routes = tables.Routes()
        drafts = [draft.build() for draft in await routes.read(con, await routes.keys(con, "", 1000))]
    return next(table for table in drafts if table.name == name)


async def test_a_new_service_has_the_defaults(api: ManagerApi) -> None:
    seen = await create(api)
    assert seen["balance"] == Balance().model_dump()
    assert seen["limits"] == Limits().model_dump()
    assert (seen["caller_limits"], seen["models"]) == (RateLimits().model_dump(), [])
    assert seen["fleet_endpoint"] == f"{PROXY_URL}/v1"
    table = await published(api)
    assert (table.balance, table.limits, table.caller_limits, table.models) == (Balance(), Limits(), RateLimits(), ())
    assert table.scale_from_zero is False


async def test_settings_are_kept_shown_and_published_without_a_rollout(api: ManagerApi) -> None:
    seen = await create(
        api,
        balance={"policy": "session", "session_key": "body:user", "slow_start_s": 30},
        limits={"max_queued": 0, "max_body_bytes": 10},
        caller_limits={"in_flight": 2},
        models=["org/Llama-3:latest", "ada"],
    )
    assert seen["models"] == ["org/Llama-3:latest", "ada"]
    table = await published(api)
    assert table.balance == Balance(policy="session", session_key="body:user", slow_start_s=30)
    assert table.limits == Limits(max_queued=0, max_body_bytes=10)
    assert table.caller_limits == RateLimits(in_flight=2)
    assert table.models == ("org/Llama-3:latest", "ada")
    api.behind.poked.clear()
    change = {
        "balance": {"policy": "prefix", "prefix_bytes": 64},
        "limits": {"max_body_bytes": None, "first_byte_timeout_s": 5},
        "caller_limits": {"in_flight": None, "tokens_per_day": 1000, "requests_per_second": 0.5},
        "models": ["ada"],
    }
    seen = await api.admin.call("PATCH", CHAT, {**change, "message": "busy"})
    assert "routes" in api.behind.poked
    assert seen["revision"] == 1
    table = await published(api)
    assert table.balance == Balance(policy="prefix", prefix_bytes=64, session_key="body:user", slow_start_s=30)
    assert table.limits == Limits(max_queued=0, first_byte_timeout_s=5)
    assert table.caller_limits == RateLimits(tokens_per_day=1000, requests_per_second=0.5)
    assert table.models == ("ada",)
    assert seen == await api.admin.call("GET", CHAT)
    assert seen["balance"] == table.balance.model_dump()
    assert (await api.admin.call("GET", "/v1/services"))["items"][0]["limits"] == table.limits.model_dump()
    entry = (await api.admin.call("GET", f"{CHAT}/history"))["items"][0]
    assert (entry["action"], entry["message"], entry["details"]["changes"]) == ("service.updated", "busy", change)
    await api.admin.call("PATCH", CHAT, {"balance": None, "limits": None, "caller_limits": None, "models": []})
    table = await published(api)
    assert (table.balance, table.limits, table.caller_limits, table.models) == (Balance(), Limits(), RateLimits(), ())


async def test_what_a_change_does_not_name_stays(api: ManagerApi) -> None:
    await create(api, balance={"policy": "round-robin"}, limits={"max_queued": 7}, models=["m"])
    await api.admin.call("PATCH", CHAT, {"description": "d"})
    await api.admin.call("PATCH", CHAT, {"spec": {"runtime": "cmd", "image": "new"}})
    table = await published(api)
    assert (table.balance.policy, table.limits.max_queued, table.models) == ("round-robin", 7, ("m",))


async def test_cors_is_kept_shown_published_and_taken_away(api: ManagerApi) -> None:
    app, other = "https://app.example.com", "https://*.example.com"
    seen = await create(api, cors={"allow_origins": [app], "allow_headers": ["X-One"]})
    shown = {**Cors().model_dump(mode="json"), "allow_origins": [app], "allow_headers": ["X-One"]}
    assert seen["cors"] == shown
    assert (await published(api)).cors == Cors(allow_origins=(app,), allow_headers=("X-One",))
    await api.pool.execute("delete from table_changes")
    change = {"cors": {"allow_origins": [app, other], "allow_credentials": True, "max_age_s": 0, "allow_headers": []}}
    seen = await api.admin.call("PATCH", CHAT, change)
    assert seen["revision"] == 1
    assert await api.pool.fetchval("select count(*) from table_changes where kind = 'route'") == 1, "it is published"
    assert (await published(api)).cors == Cors(allow_origins=(app, other), allow_credentials=True, max_age_s=0)
    entry = (await api.admin.call("GET", f"{CHAT}/history"))["items"][0]
    assert entry["details"]["changes"] == change
    await api.admin.call("PATCH", CHAT, {"cors": {"allow_credentials": False}})
    assert (await published(api)).cors == Cors(allow_origins=(app, other), max_age_s=0), "what is not named stays"
    seen = await api.admin.call("PATCH", CHAT, {"cors": None})
    assert seen["cors"] == Cors().model_dump(mode="json")
    assert (await published(api)).cors == Cors()


async def test_all_origins_and_their_cookies_do_not_go_together(api: ManagerApi) -> None:
    every, credentials = {"allow_origins": ["*"]}, {"allow_credentials": True}
    problem = await create(api, expect=400, cors=every | credentials)
    assert [error["field"] for error in problem["errors"]] == ["cors.allow_credentials"]
    await create(api, cors=every)
    await api.admin.call("PATCH", CHAT, {"cors": credentials, "description": "d"}, expect=400)
    seen = await api.admin.call("GET", CHAT)
    assert (seen["cors"]["allow_credentials"], seen["description"]) == (False, ""), "nothing has changed"
    await api.admin.call("PATCH", CHAT, {"cors": {"allow_origins": ["https://a.test"], **credentials}})
    await api.admin.call("PATCH", CHAT, {"cors": every}, expect=400)


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("cors.allow_origins[0]", {"cors": {"allow_origins": ["https://a.test/"]}}),
        ("cors.allow_origins", {"cors": {"allow_origins": "*"}}),
        ("cors.allow_origins", {"cors": {"allow_origins": ["*", "https://a.test"]}}),
        ("cors.allow_methods", {"cors": {"allow_methods": []}}),
        ("cors.allow_origins", {"cors": {"allow_origins": ["https://a.test:443"]}}),
        ("cors.max_age_s", {"cors": {"max_age_s": 86_401}}),
        ("cors.allow_origins", {"cors": {"allow_origins": [f"https://{n}.test" for n in range(33)]}}),
        ("cors.expose_headers[0]", {"cors": {"expose_headers": ["a b"]}}),
        ("cors.max_age_s", {"cors": {"max_age_s": None}}),
        ("balance.polcy", {"balance": {"polcy": "prefix"}}),
        ("balance.policy", {"balance": {"policy": "random"}}),
        ("balance.session_key", {"balance": {"session_key": "query:user"}}),
        ("balance.session_key", {"balance": {"session_key": "header:a b"}}),
        ("balance.prefix_bytes", {"balance": {"prefix_bytes": 15}}),
        ("balance.load_factor", {"balance": {"load_factor": 0.9}}),
        ("balance.slow_start_s", {"balance": {"slow_start_s": -1}}),
        ("balance.policy", {"balance": {"policy": None}}),
        ("limits.max_in_flight_per_replica", {"limits": {"max_in_flight_per_replica": 0}}),
        ("limits.max_queued", {"limits": {"max_queued": -1}}),
        ("limits.max_queued", {"limits": {"max_queued": 10**30}}),
        ("limits.queue_timeout_s", {"limits": {"queue_timeout_s": 0}}),
        ("limits.idle_timeout_s", {"limits": {"idle_timeout_s": 1e9}}),
        ("limits.max_body_bytes", {"limits": {"max_body_bytes": 1.5}}),
        ("limits.max_queued", {"limits": {"max_queued": True}}),
        ("balance.prefix_bytes", {"balance": {"prefix_bytes": "64"}}),
        ("limits.max_queued", {"limits": {"max_queued": None}}),
        ("limits.queued", {"limits": {"queued": 1}}),
        ("caller_limits.in_flight", {"caller_limits": {"in_flight": 0}}),
        ("caller_limits.rps", {"caller_limits": {"rps": 1}}),
        ("models[0]", {"models": ["a b"]}),
        ("models[0]", {"models": [""]}),
        ("models[0]", {"models": ["/x"]}),
        ("models", {"models": ["a", "a"]}),
        ("models", {"models": [f"m{n}" for n in range(101)]}),
        ("models[0]", {"models": ["x" * 201]}),
    ],
)
async def test_what_is_refused_names_the_field(api: ManagerApi, field: str, body: dict[str, Any]) -> None:
    problem = await create(api, expect=400, **body)
    assert [error["field"] for error in problem["errors"]] == [field]
    await create(api)
    problem = await api.admin.call("PATCH", CHAT, body, expect=400)
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_a_name_leads_to_one_service(api: ManagerApi) -> None:
    await create(api, models=["llama", "chat"])
    for name, body in {
        "other": {"models": ["llama"]},
        "another": {"models": ["fine", "chat"]},
        "llama": {},
    }.items():
        problem = await create(api, name, expect=409, **body)
        assert problem["type"].endswith("name-taken")
        assert ("llama" if name != "another" else "chat") in problem["detail"]
    available = await api.admin.call("GET", "/v1/services/available?name=llama")
    assert available["available"], "names of services are the installation's, names of models a project's"
    available = await api.admin.call("GET", "/v1/services/available?name=chat")
    assert (available["available"], available["reason"]["code"]) == (False, "name-taken")
    await create(api, "other", models=["fine"])
    problem = await api.admin.call(
        "PATCH", "/v1/services/other", {"models": ["llama"], "description": "new"}, expect=409
    )
    assert (problem["field"], problem["found"]) == ("models", "llama")
    seen = await api.admin.call("GET", "/v1/services/other")
    assert (seen["models"], seen["description"]) == (["fine"], ""), "nothing has changed"
    await api.admin.call("PATCH", CHAT, {"models": []})
    await api.admin.call("PATCH", "/v1/services/other", {"models": ["llama"]})
    await api.admin.call("DELETE", "/v1/services/other", expect=204)
    await create(api, "llama", models=["other"])


async def test_another_project_may_declare_the_same_names(api: ManagerApi) -> None:
    await create(api, models=["llama"])
    for name in ("red", "blue"):
        await api.admin.call("POST", "/v1/projects", {"name": name})
        await create(api, f"{name}-chat", project=name, models=["llama", "chat"])
        assert (await published(api, f"{name}-chat")).project == name
    problem = await create(api, "red-again", project="red", models=["llama"], expect=409)
    assert problem["found"] == "llama"


async def test_the_table_tells_stopped_scaled_to_0_and_given_up_apart(api: ManagerApi) -> None:
    async def told() -> tuple[int, bool, bool]:
        table = await published(api)
        return table.wanted, table.stopped, table.gave_up

    await create(api, replicas=2)
    assert await told() == (2, False, False)
    await api.pool.execute("delete from table_changes")
    await api.pool.execute("update services set failed_starts = 5")
    assert await told() == (2, False, True)
    assert await api.pool.fetchval("select count(*) from table_changes where kind = 'route'") == 1, "it is published"
    await api.admin.call("PATCH", CHAT, {"replicas": 0})
    assert (await told())[:2] == (0, False)
    await api.admin.call("POST", f"{CHAT}/stop")
    assert await told() == (0, True, False)


async def test_the_table_does_not_say_given_up_while_an_older_revision_is_looked_after(api: ManagerApi) -> None:
    await create(api)
    await api.pool.execute("update services set failed_starts = 5, served_revision_id = revision_id")
    assert (await published(api)).gave_up, "it is the only one"
    await api.admin.call("PATCH", CHAT, {"spec": {"runtime": "cmd", "image": "bad"}})
    await api.pool.execute("update services set failed_starts = 5")
    assert not (await published(api)).gave_up


async def test_of_two_who_want_a_name_at_once_one_gets_it(api: ManagerApi) -> None:
    await create(api)
    await create(api, "other")
    bodies = [
        ("PATCH", CHAT, {"models": ["m"]}),
        ("PATCH", "/v1/services/other", {"models": ["m"]}),
        ("POST", "/v1/services", {"name": "m", "runtime": "cmd"}),
    ]
    answers = await asyncio.gather(*(api.admin.http.request(method, path, json=body) for method, path, body in bodies))
    assert sorted(answer.status_code < 300 for answer in answers) == [False, False, True]
    assert {answer.status_code for answer in answers} <= {200, 201, 409}


async def test_the_database_holds_it_whoever_writes(api: ManagerApi) -> None:
    await create(api, models=["llama"])
    await create(api, "other")
    with pytest.raises(asyncpg.UniqueViolationError):
        await api.pool.execute("update services set models = '{llama}' where name = 'other'")
    with pytest.raises(asyncpg.UniqueViolationError):
        await api.pool.execute("update services set models = '{chat}' where name = 'other'")
    rows = await api.pool.fetch(
        "select f.name, s.name as service from fleet_names f join services s on s.id = f.service_id"
    )
    assert {(row["name"], row["service"]) for row in rows} == {("chat", "chat"), ("llama", "chat"), ("other", "other")}


async def test_reserved_names_say_why(api: ManagerApi) -> None:
    for name in ("v1", "v2", "metrics", "livez", "readyz", "routes", "console", "api", "available"):
        problem = await create(api, name, expect=400)
        assert name in problem["errors"][0]["allowed"]
        found = await api.admin.call("GET", f"/v1/services/available?name={name}")
        assert (found["available"], found["reason"]["code"]) == (False, "name-reserved")


async def weigh(api: ManagerApi, replica: object, weight: Any, *, expect: int = 200, name: str = "chat") -> Any:
    return await api.admin.call(
        "PUT", f"/v1/services/{name}/replicas/{replica}/weight", {"weight": weight}, expect=expect
    )


async def test_a_weight_goes_from_the_api_to_the_route_table(api: ManagerApi) -> None:
    await create(api, replicas=2)
    one, two = (await api.runs("chat"))[0], (await api.runs("chat"))[0]
    assert {route.weight for route in (await published(api)).routes} == {100}
    api.behind.poked.clear()
    seen = await weigh(api, one, 25)
    assert (seen["id"], seen["weight"]) == (str(one), 25)
    assert api.behind.poked == ["routes"]
    await weigh(api, two, 0)
    assert {route.session_id: route.weight for route in (await published(api)).routes} == {one: 25, two: 0}
    shown = (await api.admin.service("chat"))["replica_list"]
    assert {replica["id"]: replica["weight"] for replica in shown} == {str(one): 25, str(two): 0}
    entries = (await api.admin.call("GET", f"{CHAT}/history"))["items"]
    assert [entry["action"] for entry in entries][:2] == ["replica.weighted"] * 2
    assert entries[1]["details"] == {"replica": str(one), "from": 100, "to": 25}
    await weigh(api, one, 10_000)


@pytest.mark.parametrize("weight", [0.5, -1, 10_001, "half", "5", True, None, [100], 1e30])
async def test_weights_that_are_refused(api: ManagerApi, weight: Any) -> None:
    await create(api)
    one, _ = await api.runs("chat")
    problem = await weigh(api, one, weight, expect=400)
    (error,) = problem["errors"]
    assert (error["field"], error["found"]) == (
        "weight",
        {"[100]": "a list of 1", "None": "nothing"}.get(str(weight), weight),
    )
    assert (await published(api)).routes[0].weight == 100


async def test_whose_weight_cannot_be_changed(api: ManagerApi) -> None:
    await create(api)
    await create(api, "other")
    one, _ = await api.runs("chat")
    await weigh(api, one, 1, name="other", expect=404)
    await weigh(api, new_uuid(), 1, expect=404)
    await weigh(api, "none", 1, expect=404)
    await api.admin.call("POST", "/v1/projects", {"name": "elsewhere"})
    stranger = await api.user("stranger", elsewhere="member")
    viewer = await api.user("viewer", default="viewer")
    path = f"{CHAT}/replicas/{one}/weight"
    try:
        await stranger.call("PUT", path, {"weight": 1}, expect=404)
        await viewer.call("PUT", path, {"weight": 1}, expect=403)
    finally:
        await stranger.close()
        await viewer.close()
    await api.pool.execute("update sessions set status = 'draining' where id = $1", one)
    problem = await weigh(api, one, 1, expect=409)
    assert "draining" in problem["detail"]
    await api.ends(one)
    await weigh(api, one, 1, expect=404)


async def drained(api: ManagerApi, number: int, **columns: Any) -> str:
    """Put a receipt into the database, as the loops would."""
    replica = new_uuid()
    row = {"revision": 1, "replaced_by": None, "ended_at": utc_now(), "counted": True, "shares": {}, **columns}
    await api.pool.execute(
        "insert into drain_receipts (session_id, service_id, revision, replaced_by, reason_code, reason_text, began_at, ended_at, counted, shares)"
        " select $1, id, $2, $3, 'scaled-in', 'fewer are wanted', $4, $5, $6, $7 from services where name = 'chat'",
        replica,
        row["revision"],
        row["replaced_by"],
        utc_now() - timedelta(seconds=number),
        row["ended_at"],
        row["counted"],
        row["shares"],
    )
    return str(replica)


def share(in_flight: int | None = 0, **counts: float) -> dict[str, Any]:
    return {
        "in_flight": in_flight,
        "started": 0,
        "finished": 0,
        "retried": 0,
        "failed": 0,
        "cut": 0,
        "slowest_s": 0.0,
        **counts,
    }


async def test_receipts_page_by_page_newest_drain_first(api: ManagerApi) -> None:
    await create(api)
    assert (await api.admin.call("GET", f"{CHAT}/receipts"))["items"] == []
    made = [await drained(api, number) for number in (5, 1, 3)]
    shares = {"p2": share(2, started=3, finished=1), "p1": share(started=1, failed=1, slowest_s=2.5), "p3": share(None)}
    newest = await drained(api, 0, replaced_by=2, shares=shares, ended_at=None, counted=False)
    page = await api.admin.call("GET", f"{CHAT}/receipts?limit=3")
    rest = await api.admin.call("GET", f"{CHAT}/receipts?limit=3&cursor={page['next']}")
    assert [item["replica"] for item in page["items"] + rest["items"]] == [newest, made[1], made[2], made[0]]
    assert rest["next"] is None
    first = page["items"][0]
    assert (first["started"], first["finished"], first["failed"], first["slowest_s"]) == (4, 1, 1, 2.5)
    assert (first["proxies"], first["waiting_for"], first["complete"]) == (["p1", "p2"], ["p2", "p3"], False)
    assert (first["reason"]["code"], first["ended_at"]) == ("scaled-in", None)
    only = await api.admin.call("GET", f"{CHAT}/receipts?revision=2")
    assert [item["replica"] for item in only["items"]] == [newest]
    for query in ("revision=0", "revision=1.5", "revision=x", "cursor=x", "revison=1"):
        await api.admin.call("GET", f"{CHAT}/receipts?{query}", expect=400)


async def test_a_rollouts_receipt_is_the_sum_of_those_that_made_way(api: ManagerApi) -> None:
    await create(api)
    await api.runs("chat")
    await api.admin.call("PATCH", CHAT, {"spec": {"runtime": "cmd", "image": "new"}})
    path = f"{CHAT}/revisions/2/receipt"
    seen = await api.admin.call("GET", path)
    assert (seen["replicas"], seen["complete"], seen["ended_at"]) == (0, False, None), "the old one still serves"
    await api.pool.execute("update sessions set status = 'ended', ended_at = now()")
    assert (await api.admin.call("GET", path))["complete"] is True
    await drained(api, 2, replaced_by=2, shares={"p1": share(started=2, finished=2, slowest_s=1.0)})
    await drained(
        api, 1, replaced_by=2, shares={"p1": share(started=1, cut=1, slowest_s=3.0), "p2": share(started=1, retried=1)}
    )
    await drained(api, 1, shares={"p1": share(started=50)})
    seen = await api.admin.call("GET", path)
    assert (seen["started"], seen["finished"], seen["retried"], seen["cut"], seen["slowest_s"]) == (4, 2, 1, 1, 3.0)
    assert (seen["replicas"], seen["draining"], seen["complete"], seen["waiting_for"]) == (2, 0, True, [])
    await drained(api, 1, replaced_by=2, shares={"p2": share(1, started=1)}, ended_at=None, counted=False)
    seen = await api.admin.call("GET", path)
    assert (seen["draining"], seen["complete"], seen["ended_at"], seen["waiting_for"]) == (1, False, None, ["p2"])
    for number in ("3", "0", "-1", "x", "1e0", "9999999999", "\u0663"):
        await api.admin.call("GET", f"{CHAT}/revisions/{number}/receipt", expect=404)


async def test_a_port_that_something_else_of_the_installation_has_is_refused(api: ManagerApi) -> None:
    body = {"name": "chat", "runtime": "cmd"}
    problem = await api.admin.call("POST", "/v1/services", body | {"endpoint_port": TAKEN_PORT}, expect=400)
    allowed = "a port of 10000 to 19999 that nothing of the installation uses"
    error = {"field": "endpoint_port", "found": TAKEN_PORT, "allowed": allowed, "pointer": "#/endpoint_port"}
    assert problem["errors"] == [error]
    await api.admin.call("POST", "/v1/services", body)
    again = await api.admin.call("PATCH", "/v1/services/chat", {"endpoint_port": TAKEN_PORT}, expect=400)
    assert again["errors"] == problem["errors"]
    assert (await api.admin.call("GET", "/v1/services/chat"))["endpoint_port"] is None


async def test_an_own_port_is_promised_only_if_every_app_proxy_can_open_it(api: ManagerApi) -> None:
    proxies, chat = api.behind.proxies, {"name": "chat", "runtime": "cmd", "command": "true"}
    one, two = ProxyId("proxy-1"), ProxyId("proxy-2")
    proxies.refusing = {12_000: {two: "Address already in use"}}
    refused = await api.admin.call("POST", "/v1/services", chat | {"endpoint_port": 12_000}, expect=409)
    assert (refused["field"], refused["found"]) == ("endpoint_port", 12_000)
    assert refused["detail"] == (
        "endpoint_port: 12000 cannot be opened by proxy-2 (Address already in use); "
        "allowed: a port that every app-proxy can open"
    )
    await api.admin.call("GET", "/v1/services/chat", expect=404)
    made = await api.admin.call("POST", "/v1/services", chat | {"endpoint_port": 12_001})
    service_id = UUID(made["id"])
    again = await api.admin.call("PATCH", "/v1/services/chat", {"endpoint_port": 12_000}, expect=409)
    assert again["detail"] == refused["detail"]
    tried = await api.admin.call(
        "POST", "/v1/resolutions", {"service": "chat", "update": {"endpoint_port": 12_000}}, expect=200
    )
    assert [(found["field"], found["type"]) for found in tried["problems"]] == [("endpoint_port", "conflict")]
    proxies.asked.clear()
    await api.admin.call("PATCH", "/v1/services/chat", {"endpoint_port": 12_001, "description": "as it was"})
    await api.admin.call("PATCH", "/v1/services/chat", {"endpoint_port": 80}, expect=400)
    assert proxies.asked == [], "neither about the port that it has, nor about one that is not allowed"

    async def told() -> dict[str, tuple[str, str]]:
        shown = await api.admin.call("GET", "/v1/services/chat")
        (listed,) = (await api.admin.call("GET", "/v1/services"))["items"]
        assert shown["urls"] == listed["urls"]
        return {one["kind"]: (one["url"], one["reason"]["code"]) for one in shown["urls"]}

    proxies.of_domain = {one: "models.example.com", two: "models.example.com"}
    proxies.has[service_id] = {one: 1, two: 1}
    proxies.listening = {one: {12_001}}
    host = PROXY_URL.removeprefix("http://").partition(":")[0]
    assert (await told())["port"] == (f"http://{host}:12001", "endpoint-port-opening")
    proxies.listening[two] = {12_001}
    found = await told()
    assert {code for _, code in found.values()} == {"served"}
    assert list(found) == ["path", "host", "port"]
    assert found["host"][0].startswith("http://chat.models.example.com")
    await api.admin.call("PATCH", "/v1/services/chat", {"endpoint_port": None})
    assert "port" not in await told()


async def test_a_service_whose_own_port_is_not_open_says_so(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", {"name": "chat", "runtime": "cmd", "endpoint_port": 12_000})
    await api.runs("chat")
    assert (await api.admin.call("GET", "/v1/services/chat"))["status"] == "healthy"
    api.behind.proxies.failed[12_000] = {"proxy-1": "Address already in use"}
    (listed,) = (await api.admin.call("GET", "/v1/services"))["items"]
    assert (listed["status"], listed["reason"]["code"]) == ("degraded", "endpoint-port-failed")
    assert "port 12000 is not open at proxy-1 (Address already in use)" in listed["reason"]["text"]


async def test_a_service_that_callers_cannot_reach_is_not_healthy_and_says_why(api: ManagerApi) -> None:
    created = await api.admin.call("POST", "/v1/services", {"name": "chat", "runtime": "cmd"})
    await api.runs("chat")

    async def seen() -> tuple[str, str, str]:
        (listed,) = (await api.admin.call("GET", "/v1/services"))["items"]
        shown = await api.admin.call("GET", "/v1/services/chat")
        assert (listed["status"], listed["reason"]) == (shown["status"], shown["reason"])
        return shown["status"], shown["phase"], shown["reason"]["code"]

    assert await seen() == ("healthy", "deployed", "all-healthy")
    api.behind.proxies.heard = "away"
    assert await seen() == ("unhealthy", "deployed", "app-proxy-away")
    unhealthy = await api.admin.call("GET", "/v1/services?status=unhealthy")
    assert [service["name"] for service in unhealthy["items"]] == ["chat"]
    api.behind.proxies.heard = "bus-away"
    assert await seen() == ("degraded", "deployed", "bus-away")
    api.behind.proxies.heard = "heard"
    api.behind.proxies.has[UUID(created["id"])] = {"proxy-1": 6, "proxy-2": 7}
    publish = "insert into publications (subject, generation, digest, published_at) values ('route.' || $1::text, 7, '', now())"
    await api.pool.execute(publish, created["id"])
    assert await seen() == ("healthy", "deployed", "all-healthy"), "it has a few seconds to apply it"
    await api.pool.execute("update publications set published_at = now() - interval '10 s'")
    assert await seen() == ("degraded", "deployed", "app-proxy-behind")
    api.behind.proxies.has[UUID(created["id"])]["proxy-1"] = 7
    assert await seen() == ("healthy", "deployed", "all-healthy")
    tell = "insert into publications (subject, generation, digest, problem) values ($2 || $1::text, 0, '', 'too large')"
    await api.pool.execute(tell, created["id"], "rules.")
    assert await seen() == ("degraded", "deployed", "rule-table-not-built")
    await api.pool.execute("update publications set problem = 'too large' where subject like 'route.%'")
    assert await seen() == ("degraded", "deployed", "route-table-not-built")
