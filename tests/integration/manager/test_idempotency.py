"""Idempotency keys: a creation that is repeated with the same one creates one thing."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

from headrace.common.db.pool import Pool
from headrace.manager.api.app import ENDPOINTS
from headrace.manager.domain.idempotency import KEPT_FOR, MAX_ANSWER_BYTES, MAX_KEYS
from headrace.manager.store import retention
from tests.support.api import Api
from tests.support.worlds.manager_api import ManagerApi

SERVICE: Final = {"project": "default", "name": "echo", "runtime": "cmd", "image": "img"}
RULE: Final = {
    "source": "kernel",
    "metric": "gpu_utilization",
    "comparator": "GREATER_THAN",
    "threshold": 80,
    "step": 1,
    "min_replicas": 1,
    "max_replicas": 3,
}
BODIES: Final[dict[str, dict[str, Any]]] = {
    "/v1/projects": {"name": "made"},
    "/v1/users": {"name": "made"},
    "/v1/users/{user}/keys": {"name": "made"},
    "/v1/folders": {"name": "made", "project": "default"},
    "/v1/folders/{folder}/shares": {"all_projects": True},
    "/v1/services": SERVICE | {"name": "made"},
    "/v1/services/{service}/tokens": {"name": "made"},
    "/v1/projects/{project}/tokens": {"name": "made"},
    "/v1/services/{service}/clients": {"name": "made"},
    "/v1/services/{service}/rules": RULE,
    "/v1/resource-presets": {"name": "made", "slots": {"cpu": 1}},
    "/v1/resource-groups": {"name": "made"},
    "/v1/projects/{project}/webhooks": {"name": "made", "url": "https://example.com/hook", "secret": "hook"},
    "/v1/validations": {"runtime": "cmd", "image": "img", "project": "default"},
}
"""Body of each creation; those of join tokens need a bus' keys (test_api_joining.py)."""


async def post(api: Api, path: str, body: object, key: str) -> httpx.Response:
    return await api.http.post(path, json=body, headers={"Idempotency-Key": key})


async def test_each_creation_that_is_repeated_creates_one_thing(api: ManagerApi, pool: Pool) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    await api.admin.call(
        "PUT", "/v1/projects/default/secrets/hook", {"value": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    )
    creations = [endpoint for endpoint in ENDPOINTS if endpoint.creates and endpoint.path != "/v1/join-tokens"]
    assert {endpoint.path for endpoint in creations} == set(BODIES)
    for endpoint in creations:
        path = endpoint.path.format(user="admin", service="echo", project="default", folder="made")
        key = str(uuid4())
        first = await post(api.admin, path, BODIES[endpoint.path], key)
        assert first.status_code == 201, first.text
        assert "Idempotency-Replayed" not in first.headers
        events = await pool.fetchval("select count(*) from events")
        again = await post(api.admin, path, BODIES[endpoint.path], key)
        secret = {"key", "token", "secret"} & set(first.json()) - set(BODIES[endpoint.path])
        if secret:
            assert again.status_code == 409, again.text
            assert again.json()["type"].endswith(":answer-not-kept")
            assert again.json()["location"] == first.headers["Location"]
            kept = str(await pool.fetchval("select array_agg(k::text) from idempotency_keys k"))
            assert first.json()[secret.pop()].rpartition("_")[2] not in kept
        else:
            assert again.status_code == 201, again.text
            assert again.headers["Idempotency-Replayed"] == "true"
            assert {name: again.headers.get(name) for name in ("Location", "ETag")} == {
                name: first.headers.get(name) for name in ("Location", "ETag")
            }
            assert again.content == first.content
        assert await pool.fetchval("select count(*) from events") == events


async def test_what_a_creation_makes_is_where_its_location_says() -> None:
    paths = {endpoint.path.rpartition("/")[0] for endpoint in ENDPOINTS if endpoint.path.endswith("}")}
    assert {endpoint.creates.rpartition("/")[0] for endpoint in ENDPOINTS if endpoint.creates} <= paths


async def test_a_key_with_another_request_is_refused(api: ManagerApi) -> None:
    await post(api.admin, "/v1/projects", {"name": "one"}, "k")
    for path, body in (("/v1/projects", {"name": "two"}), ("/v1/resource-groups", {"name": "one"})):
        refused = await post(api.admin, path, body, "k")
        assert refused.status_code == 422, refused.text
        assert refused.json()["type"].endswith(":idempotency-key-reused")


async def test_a_key_is_of_the_credential_that_sent_it(api: ManagerApi) -> None:
    ann = await api.user("ann", default="member")
    body = {"name": "data", "project": "default"}
    made = (await post(ann, "/v1/folders", body, "k")).json()
    assert (await post(api.admin, "/v1/folders", body, "k")).json()["type"].endswith(":name-taken")
    other = Api(api.url, (await ann.call("POST", "/v1/users/ann/keys", {}))["key"])
    api.users.append(other)
    assert (await post(other, "/v1/folders", body, "k")).status_code == 409
    assert (await post(ann, "/v1/folders", body, "k")).json() == made


async def test_many_at_once_create_one_thing_and_all_get_its_answer(api: ManagerApi, pool: Pool) -> None:
    for path, body in (("/v1/services", SERVICE), ("/v1/projects", {"name": "made"})):
        answers = await asyncio.gather(*(post(api.admin, path, body, "k" + path) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
        assert len({answer.content for answer in answers}) == 1
        assert sum("Idempotency-Replayed" in answer.headers for answer in answers) == 7
    assert await pool.fetchval("select count(*) from services") == 1


async def test_a_refused_creation_leaves_its_key_free(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    assert (await post(api.admin, "/v1/services", SERVICE, "k")).json()["type"].endswith(":name-taken")
    await api.admin.remove("echo")
    made = await post(api.admin, "/v1/services", SERVICE, "k")
    assert (made.status_code, "Idempotency-Replayed" in made.headers) == (201, False)


@pytest.mark.parametrize("key", ["", "two words", "k" * 256, "schlüssel".encode().decode("latin-1")])
async def test_what_is_no_key_is_refused(api: ManagerApi, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    refused = await api.admin.http.post("/v1/projects", json={"name": "made"}, headers=headers)  # type: ignore[arg-type]
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_a_large_answer_is_not_kept(api: ManagerApi) -> None:
    body = SERVICE | {
        "metadata": {"x": "y" * 1000} | {f"name-{n}": "z" * 1000 for n in range(MAX_ANSWER_BYTES // 1000)}
    }
    assert (await post(api.admin, "/v1/services", body, "k")).status_code == 201
    again = await post(api.admin, "/v1/services", body, "k")
    assert (again.status_code, again.json()["location"]) == (409, "/v1/services/echo")


async def test_keys_are_forgotten_after_a_day_and_beyond_the_newest(api: ManagerApi, pool: Pool) -> None:
    await post(api.admin, "/v1/projects", {"name": "one"}, "old")
    await pool.execute("update idempotency_keys set at = now() - interval '25 hours'")
    assert (await post(api.admin, "/v1/projects", {"name": "two"}, "old")).status_code == 201  # it counts anew
    await pool.execute(
        "insert into idempotency_keys select credential, n::text, user_id, request_hash, '{}', true, now() - n * interval '1 s'"
        " from idempotency_keys, generate_series(1, $1::int) n",
        MAX_KEYS + 10,
    )
    await post(api.admin, "/v1/projects", {"name": "three"}, "new")
    assert await pool.fetchval("select count(*) from idempotency_keys") == MAX_KEYS
    assert await pool.fetchval("select count(*) from idempotency_keys where key in ('old', 'new')") == 2
    await pool.execute("update idempotency_keys set at = now() - interval '25 hours' where key <> 'new'")
    async with pool.acquire() as con:
        while await retention.drop(con, "idempotency_keys", KEPT_FOR, 500):
            pass
    assert await pool.fetchval("select array_agg(key) from idempotency_keys") == ["new"]
