"""Joining over the API: tokens, signatures, refusals; without a bus, which takes no part in it."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from headrace.common.bus.credentials import claims_of
from headrace.common.bus.identities import new_seed, public_key, sign
from headrace.common.contracts.joining import renewal_message
from headrace.common.db.pool import Pool
from headrace.install.make import make
from headrace.install.plan import Choices, Layout
from tests.support.worlds.manager_api import ManagerApi, serving

URL = "https://ml.example.com"


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """Files of an installation with one agent."""
    choices = Choices(url=URL, layout=Layout.HOST, agents=["gpu-0=10.0.0.9"])
    return make(tmp_path / "etc", choices, datetime.now(UTC)).folder


@pytest.fixture
async def api(pool: Pool, tmp_path: Path, installation: Path) -> AsyncIterator[ManagerApi]:
    """The API of a manager that signs identities."""
    settings = {
        "bus_signing_file": installation / "bus/signing.json",
        "public_url": URL,
        "ca_file": installation / "tls/ca.crt",
        "machines_nats_url": "tls://nats.example.com:4222",
    }
    async with serving(pool, tmp_path, **settings) as running:
        yield running


async def token(api: ManagerApi, **changes: Any) -> dict[str, Any]:
    return dict(await api.admin.call("POST", "/v1/join-tokens", {"kind": "agent", **changes}))


def request(token: str, seed: str, name: str = "gpu-1", kind: str = "agent") -> dict[str, str]:
    return {"token": token, "kind": kind, "name": name, "public_key": public_key(seed)}


def renewal(seed: str, *, at: int | None = None, signed_by: str | None = None) -> dict[str, Any]:
    moment = int(time.time()) if at is None else at
    key = public_key(seed)
    signature = sign(signed_by or seed, renewal_message(key, moment))
    return {"public_key": key, "signed_at": moment, "signature": base64.urlsafe_b64encode(signature).decode()}


async def test_a_machine_that_joins_gets_exactly_its_subjects_and_where_the_bus_is(api: ManagerApi) -> None:
    made = await token(api, labels={"zone": "a"})
    seed = new_seed("user")
    joined = await api.admin.call("POST", "/v1/join", request(made["token"], seed))
    claims = claims_of(joined["identity"]["token"])
    assert (claims["sub"], claims["name"]) == (public_key(seed), "gpu-1")
    assert "report.agent.gpu-1" in claims["nats"]["pub"]["allow"]
    subjects = [*claims["nats"]["pub"]["allow"], *claims["nats"]["sub"]["allow"]]
    assert all("gpu-1" in subject for subject in subjects), subjects
    assert claims["exp"] - claims["iat"] == 7 * 24 * 3600
    assert joined["nats_url"] == "tls://nats.example.com:4222"
    assert joined["ca"].startswith("-----BEGIN CERTIFICATE-----")
    assert [one["used"] for one in (await api.admin.call("GET", "/v1/join-tokens"))["items"]] == [1]
    listed = (await api.admin.call("GET", "/v1/identities"))["items"]
    assert [(one["name"], one["kind"], one["revoked_at"]) for one in listed] == [("gpu-1", "agent", None)]


async def test_a_repeated_request_takes_no_second_use_and_another_machine_does(api: ManagerApi) -> None:
    made = await token(api, uses=2)
    first, second, third = new_seed("user"), new_seed("user"), new_seed("user")
    call = api.admin.call
    answers = await asyncio.gather(*(call("POST", "/v1/join", request(made["token"], first)) for _ in range(4)))
    assert len({claims_of(one["identity"]["token"])["sub"] for one in answers}) == 1
    await call("POST", "/v1/join", request(made["token"], second, "gpu-2"))
    refused = await call("POST", "/v1/join", request(made["token"], third, "gpu-3"), expect=401)
    assert refused["detail"] == "this join token is used up (2 of 2); make another: headrace agent join-token"
    await call("POST", "/v1/join", request(made["token"], first))
    (left,) = (await call("GET", "/v1/join-tokens"))["items"]
    assert (left["uses"], left["used"]) == (2, 2)


async def test_a_creation_that_is_repeated_with_its_idempotency_key_makes_one_token(api: ManagerApi) -> None:
    key = {"Idempotency-Key": "k"}
    first, again = [await api.admin.http.post("/v1/join-tokens", json={"kind": "agent"}, headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 409)
    assert again.json()["location"] == first.headers["Location"]
    assert len((await api.admin.call("GET", "/v1/join-tokens"))["items"]) == 1


async def test_each_refusal_says_what_it_is(api: ManagerApi, pool: Pool) -> None:
    call, seed = api.admin.call, new_seed("user")
    made = await token(api, uses=10)

    async def refused(body: dict[str, str], status: int) -> str:
        return str((await call("POST", "/v1/join", body, expect=status))["detail"])

    other = "hrj_" + "0" * 32 + "_" + "a" * 43
    assert await refused(request(other, seed), 401) == "this join token is not known"
    wrong = made["token"][:-1] + ("a" if made["token"][-1] != "a" else "b")
    assert await refused(request(wrong, seed), 401) == "this join token is not known"
    assert "is for agents, and app-proxies need another" in await refused(
        request(made["token"], seed, "p-2", "proxy"), 401
    )
    for name in ("gpu-0", "manager", "system", "manager-system", "autoscaler"):
        assert "headrace init made" in await refused(request(made["token"], seed, name), 409)
    await call("POST", "/v1/join", request(made["token"], seed))
    assert "has joined with another key" in await refused(request(made["token"], new_seed("user")), 409)
    assert "this key has joined as gpu-1" in await refused(request(made["token"], seed, "gpu-2"), 409)
    bad = {**request(made["token"], seed), "public_key": "U" + "A" * 55}
    assert "checksum" in await refused(bad, 400)
    assert "secret" not in await refused({**request("hrj_secret", seed)}, 400)
    await pool.execute("update join_tokens set expires_at = now() - interval '1 second'")
    assert "expired at" in await refused(request(made["token"], new_seed("user"), "gpu-3"), 401)
    revoked = await token(api)
    for _ in range(2):
        await call("DELETE", f"/v1/join-tokens/{revoked['id']}")
    assert "was revoked at" in await refused(request(revoked["token"], new_seed("user"), "gpu-3"), 401)
    assert await pool.fetchval("select count(*) from bus_identities") == 1


async def test_what_a_token_says_becomes_of_the_machine_with_its_first_report(api: ManagerApi, pool: Pool) -> None:
    await pool.execute("insert into resource_groups (name) values ('a100')")
    missing = await api.admin.call("POST", "/v1/join-tokens", {"kind": "agent", "resource_group": "none"}, expect=400)
    assert "one of a100, default" in missing["detail"]
    await api.admin.call("POST", "/v1/join-tokens", {"kind": "proxy", "labels": {"a": "b"}}, expect=400)
    made = await token(api, resource_group="a100", labels={"zone": "a"})
    assert (made["resource_group"], made["labels"]) == ("a100", {"zone": "a"})


async def test_tokens_are_operators_own_are_stored_hashed_and_bounded(api: ManagerApi, pool: Pool) -> None:
    made = await token(api)
    stored = await pool.fetchrow("select * from join_tokens")
    assert stored is not None
    assert made["token"].rpartition("_")[2] not in repr(dict(stored))
    other = await api.user("bob")
    for method, path, body in (
        ("POST", "/v1/join-tokens", {"kind": "agent"}),
        ("GET", "/v1/join-tokens", None),
        ("DELETE", f"/v1/join-tokens/{made['id']}", None),
        ("GET", "/v1/identities", None),
        ("DELETE", "/v1/identities/gpu-1", None),
    ):
        await other.call(method, path, body, expect=403)
    await other.close()
    for changes in ({"ttl_s": 59}, {"ttl_s": 31 * 24 * 3600}, {"uses": 0}, {"uses": 1001}, {"kind": "manager"}):
        await api.admin.call("POST", "/v1/join-tokens", {"kind": "agent", **changes}, expect=400)
    await pool.execute(
        "insert into join_tokens (id, secret_hash, kind, uses, created_by, expires_at)"
        " select gen_random_uuid(), decode(repeat('00', 32), 'hex'), 'agent', 1, 'x', now() + interval '1 hour' from generate_series(1, 999)"
    )
    full = await api.admin.call("POST", "/v1/join-tokens", {"kind": "agent"}, expect=409)
    assert (full["found"], full["allowed"]) == (1000, 1000)


async def test_failed_attempts_from_an_address_are_limited_and_good_ones_are_not(api: ManagerApi) -> None:
    made, seed = await token(api), new_seed("user")
    other = "hrj_" + "0" * 32 + "_" + "a" * 43
    for _ in range(30):
        await api.admin.call("POST", "/v1/join", request(made["token"], seed))
    for _ in range(20):
        await api.admin.call("POST", "/v1/join", request(other, seed), expect=401)
    answer = await api.admin.http.post("/v1/join", json=request(made["token"], seed))
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) <= 61


async def test_an_identity_is_renewed_for_the_owner_of_its_key_only(api: ManagerApi, pool: Pool) -> None:
    seed, call = new_seed("user"), api.admin.call
    joined = await call("POST", "/v1/join", request((await token(api))["token"], seed))
    await pool.execute(
        "update bus_identities set issued_at = now() - interval '8 days', expires_at = now() - interval '1 day'"
    )
    renewed = claims_of((await call("POST", "/v1/join/renew", renewal(seed)))["token"])
    before = claims_of(joined["identity"]["token"])
    assert (renewed["sub"], renewed["nats"]["pub"]) == (before["sub"], before["nats"]["pub"])
    assert renewed["exp"] >= before["exp"]
    for body, status, said in (
        (renewal(seed, signed_by=new_seed("user")), 401, "not by this key"),
        (renewal(seed, at=int(time.time()) - 400), 401, "set the clock"),
        (renewal(new_seed("user")), 404, "join with a join token"),
    ):
        assert said in (await call("POST", "/v1/join/renew", body, expect=status))["detail"]


async def test_a_removed_agent_is_not_renewed_and_its_name_is_free_once_it_is_admitted(api: ManagerApi) -> None:
    seed, call = new_seed("user"), api.admin.call
    made = await token(api, uses=5)
    await call("POST", "/v1/join", request(made["token"], seed))
    await api.machine("gpu-1")
    api.behind.poked.clear()
    await call("DELETE", "/v1/agents/gpu-1?reason=sold")
    assert "revocations" in api.behind.poked
    refused = await call("POST", "/v1/join/renew", renewal(seed), expect=403)
    assert refused["detail"].startswith("admin revoked the identity of gpu-1 at 20")
    assert refused["detail"].endswith(": sold")
    again = await call("POST", "/v1/join", request(made["token"], seed), expect=409)
    assert "joins again with a new key" in again["detail"]
    newer = new_seed("user")
    denied = await call("POST", "/v1/join", request(made["token"], newer), expect=409)
    assert "headrace agent admit gpu-1" in denied["detail"]
    await call("DELETE", "/v1/removed-agents/gpu-1")
    await call("POST", "/v1/join", request(made["token"], newer))


async def test_an_identity_of_the_installation_s_files_is_revoked_too(api: ManagerApi) -> None:
    call = api.admin.call
    await api.machine("gpu-0")
    await call("DELETE", "/v1/agents/gpu-0")
    await call("DELETE", "/v1/identities/proxy-1?reason=leaked")
    listed = (await call("GET", "/v1/identities"))["items"]
    assert [(one["name"], one["kind"], one["revoked_reason"]) for one in listed] == [
        ("gpu-0", "agent", ""),
        ("proxy-1", "proxy", "leaked"),
    ]
    assert all(one["revoked_at"] and one["expires_at"] is None for one in listed)
    for name in ("proxy-1", "manager", "nobody"):
        await call("DELETE", f"/v1/identities/{name}", expect=404)
    first = await call("GET", "/v1/identities?limit=1")
    second = await call("GET", f"/v1/identities?limit=1&cursor={first['next'].replace('/', '%2F')}")
    assert [one["name"] for one in (*first["items"], *second["items"])] == ["gpu-0", "proxy-1"]


async def test_an_installation_without_signing_keys_says_so_in_one_line(pool: Pool, tmp_path: Path) -> None:
    async with serving(pool, tmp_path) as api:
        refused = await api.admin.call("POST", "/v1/join-tokens", {"kind": "agent"}, expect=409)
        assert "headrace init" in refused["detail"]
        assert "\n" not in refused["detail"]
        await api.machine("agent-1")
        await api.admin.call("DELETE", "/v1/agents/agent-1")


async def test_signing_keys_that_cannot_be_read_are_said_and_are_used_once_they_can(
    api: ManagerApi, installation: Path
) -> None:
    file = installation / "bus/signing.json"
    content = file.read_text()
    file.write_text(content.replace('"S', '"X', 1))
    refused = await api.admin.call("POST", "/v1/join-tokens", {"kind": "agent"}, expect=503)
    assert refused["reason"] == "signing-keys-unreadable"
    assert "signing" in refused["detail"]
    assert "SA" not in refused["detail"]
    file.write_text(content)
    await token(api)


async def test_a_line_that_runs_an_image_is_for_agents_and_needs_one_that_managers_know(
    api: ManagerApi, pool: Pool
) -> None:
    call = api.admin.call
    refused = await call("POST", "/v1/join-tokens", {"kind": "agent", "form": "docker"}, expect=409)
    assert "agent_image is empty; allowed: the image of the agent" in refused["detail"]
    assert await pool.fetchval("select count(*) from join_tokens") == 0, "no token is left that nobody was given"
    await call("POST", "/v1/join-tokens", {"kind": "proxy", "form": "docker"}, expect=400)
    assert "agent_image" in (await call("GET", "/v1/join/docker.sh", expect=404))["detail"]
    assert "/v1/join/join.sh" in (await token(api, form="wheels"))["command"]
