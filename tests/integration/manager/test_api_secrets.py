"""Secrets of projects by the API: who may what, what is shown, what revisions have of them; and where no value is found."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from headrace.common.contracts.revision import MASK
from headrace.common.runtime.secrets_keys import new_secrets_key
from headrace.manager.loops.secrets import SecretsLoop
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.usecases.secrets import KEPT
from tests.support.factories.settings import manager_settings
from tests.support.worlds.manager_api import ManagerApi

ALL = "/v1/projects/default/secrets"
VALUE = "hf_never-to-be-seen-again"


async def put(api: ManagerApi, name: str = "hub", value: str = VALUE) -> Any:
    return await api.admin.call("PUT", f"{ALL}/{name}", {"value": value})


async def service(api: ManagerApi, name: str = "chat", **spec: Any) -> Any:
    body = {"name": name, "project": "default", "runtime": "cmd", "image": "img", "secret_environ": {"TOKEN": "hub"}}
    return await api.admin.call("POST", "/v1/services", {**body, **spec})


async def pinned(api: ManagerApi) -> dict[int, list[str]]:
    """Return the services that name a version of the secret, by version."""
    return {one["version"]: one["pinned"] for one in (await api.admin.call("GET", f"{ALL}/hub"))["versions"]}


async def versions(api: ManagerApi, name: str = "chat") -> dict[str, int]:
    """Return the versions that the current revision has, by variable."""
    found = await api.admin.call("GET", f"/v1/services/{name}")
    return {pin["variable"] or pin["use"]: pin["version"] for pin in found["effective"]["secrets"]}


async def everything(api: ManagerApi) -> str:
    """Return the content of the whole database as text."""
    tables = [
        row["table_name"]
        for row in await api.pool.fetch(
            "select table_name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'"
        )
    ]
    found = [
        await api.pool.fetchval(f"select coalesce(jsonb_agg(to_jsonb(t))::text, '') from {name} t") for name in tables
    ]
    assert any("secret.created" in text for text in found)
    return "\n".join(found)


async def test_a_value_is_stored_encrypted_and_found_in_no_answer_row_event_or_log(
    api: ManagerApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = await put(api)
    assert (made["name"], made["version"], made["updated_by"]) == ("hub", 1, "admin")
    answers = [made, await put(api, value=f"{VALUE}2"), await put(api, "robot", f"user:{VALUE}")]
    answers.append(await service(api, pull_secret="robot"))
    paths = (
        ALL,
        f"{ALL}/hub",
        f"{ALL}/{made['id']}",
        "/v1/services/chat",
        "/v1/services/chat/revisions",
        "/v1/services/chat/revisions/1",
        "/v1/services/chat/history",
        "/v1/audit",
    )
    answers += [await api.admin.call("GET", path) for path in paths]
    assert VALUE not in str(answers)
    stored = await everything(api)
    assert VALUE not in stored
    assert VALUE.encode().hex() not in stored
    assert VALUE not in caplog.text
    assert await versions(api) == {"TOKEN": 2, "registry": 1}


async def test_the_same_value_again_makes_no_version(api: ManagerApi) -> None:
    first = await put(api)
    assert await put(api) == first
    assert (await put(api, value="other"))["version"] == 2
    assert [one["version"] for one in (await api.admin.call("GET", f"{ALL}/hub"))["versions"]] == [2, 1]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, "nothing"),
        ({"value": ""}, "0 bytes"),
        ({"value": "é" * 16_385}, "32770 bytes"),
        ({"value": f"{VALUE}\x00"}, "a NUL character"),
        ({"value": {"a": VALUE}}, "something other than text"),
        ({"value": 5}, "something other than text"),
        ({"valeu": VALUE}, "a field valeu"),
        ({"value": VALUE, "more": VALUE}, "a field more"),
    ],
)
async def test_what_is_refused_is_not_repeated(api: ManagerApi, body: dict[str, Any], found: str) -> None:
    problem = await api.admin.call("PUT", f"{ALL}/hub", body, expect=400)
    assert [row["found"] for row in problem["errors"]] == [found]
    assert VALUE not in str(problem)
    assert (await api.admin.call("GET", ALL))["items"] == []


async def test_names_are_those_of_the_rest_and_a_project_has_a_bounded_number(api: ManagerApi) -> None:
    problem = await api.admin.call("PUT", f"{ALL}/Hub_Token", {"value": VALUE}, expect=400)
    assert problem["errors"][0]["field"] == "secret"
    await api.pool.execute(
        "insert into secrets (id, project_id, name, version, created_by) "
        "select gen_random_uuid(), p.id, 's-' || n, 1, u.id from projects p, users u, generate_series(1, 200) n"
    )
    problem = await api.admin.call("PUT", f"{ALL}/hub", {"value": VALUE}, expect=409)
    assert problem["allowed"] == "at most 200"


async def test_owners_write_members_refer_viewers_see_names_and_others_nothing(api: ManagerApi) -> None:
    await put(api)
    for role, writes, refers, sees in (("owner", 200, 201, 200), ("member", 403, 201, 200), ("viewer", 403, 403, 200)):
        caller = await api.user(f"a-{role}", default=role)
        await caller.call("PUT", f"{ALL}/hub", {"value": f"by {role}"}, expect=writes)
        body = {
            "name": f"of-{role}",
            "project": "default",
            "runtime": "cmd",
            "image": "i",
            "secret_environ": {"T": "hub"},
        }
        await caller.call("POST", "/v1/services", body, expect=refers)
        await caller.call("GET", ALL, expect=sees)
        await caller.call("GET", f"{ALL}/hub", expect=sees)
        await caller.call("DELETE", f"{ALL}/hub", expect=409 if writes == 200 else 403)
        await caller.close()
    stranger = await api.user("stranger")
    for method, path, sent in (
        ("GET", ALL, None),
        ("GET", f"{ALL}/hub", None),
        ("PUT", f"{ALL}/hub", {"value": "x"}),
        ("DELETE", f"{ALL}/hub", None),
    ):
        await stranger.call(method, path, sent, expect=404)
    await stranger.close()


async def test_a_secret_of_another_project_is_none(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "other"})
    await api.admin.call("PUT", "/v1/projects/other/secrets/hub", {"value": VALUE})
    body = {"name": "chat", "project": "default", "runtime": "cmd", "image": "i", "secret_environ": {"TOKEN": "hub"}}
    problem = await api.admin.call("POST", "/v1/services", body, expect=400)
    assert problem["errors"] == [
        {
            "field": "secret_environ.TOKEN",
            "found": "hub",
            "allowed": "the name of a secret of project default, which has none",
            "pointer": "#/secret_environ/TOKEN",
        }
    ]


async def test_a_new_version_is_rolled_out_when_somebody_asks_for_it(api: ManagerApi) -> None:
    await put(api)
    await service(api)
    await put(api, value="second")
    path, spec = "/v1/services/chat", {"runtime": "cmd", "image": "img", "secret_environ": {"TOKEN": "hub"}}
    changed = {**spec, "environ": {"A": "b"}}
    after = await api.admin.call("PATCH", path, {"spec": changed})
    assert (after["revision"], await versions(api)) == (2, {"TOKEN": 1}), "another change keeps the version"
    after = await api.admin.call("PATCH", path, {"refresh_secrets": True, "message": "new token"})
    assert (after["revision"], await versions(api)) == (3, {"TOKEN": 2})
    assert after["effective"]["environ"] == {"A": "b"}
    after = await api.admin.call("PATCH", path, {"refresh_secrets": True})
    assert (after["revision"], after["note"]["code"]) == (3, "unchanged")
    after = await api.admin.call("PATCH", path, {"spec": {**spec, "secret_environ": {"TOKEN": "hub@1"}}})
    assert await versions(api) == {"TOKEN": 1}
    await api.admin.call("PATCH", path, {"refresh_secrets": True})
    assert await versions(api) == {"TOKEN": 1}, "a version that is named stays"
    assert await pinned(api) == {2: [], 1: ["chat"]}
    await api.admin.call("POST", f"{path}/rollback", {"revision": 3})
    assert await versions(api) == {"TOKEN": 2}
    shown = (await api.admin.call("GET", f"{ALL}/hub"))["versions"]
    assert [(one["version"], one["services"]) for one in shown] == [(2, ["chat"]), (1, [])]
    assert await pinned(api) == {2: [], 1: []}


async def test_a_secret_in_use_is_not_deleted_and_the_services_are_named(api: ManagerApi) -> None:
    await put(api)
    await service(api, replicas=0)
    await service(api, "chat-2", replicas=0)
    problem = await api.admin.call("DELETE", f"{ALL}/hub", expect=409)
    assert problem["type"].endswith("in-use")
    assert problem["services"] == ["chat", "chat-2"]
    trial = {"project": "default", "runtime": "cmd", "image": "i", "secret_environ": {"T": "hub"}}
    await api.admin.call("POST", "/v1/validations", trial)
    await api.admin.call("DELETE", "/v1/services/chat-2")
    await api.admin.call("PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": "img"}})
    problem = await api.admin.call("DELETE", f"{ALL}/hub", expect=409)
    assert "used by 1 trial run;" in problem["detail"]
    await api.pool.execute("update sessions set status = 'ended', ended_at = now()")
    await api.admin.call("DELETE", f"{ALL}/hub")
    await api.admin.call("GET", f"{ALL}/hub", expect=404)
    problem = await api.admin.call("POST", "/v1/services/chat/rollback", {"revision": 1}, expect=409)
    assert "secret hub version 1 was deleted" in problem["detail"]
    actions = [item["action"] for item in (await api.admin.call("GET", "/v1/audit?action=secret.*"))["items"]]
    assert actions == ["secret.deleted", "secret.created"]


async def test_a_revision_that_is_drained_still_holds_its_version(api: ManagerApi) -> None:
    await put(api)
    await service(api)
    session_id, _ = await api.runs("chat")
    await api.admin.call("PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": "img"}})
    await api.admin.call("DELETE", f"{ALL}/hub", expect=409)
    await api.ends(session_id)
    await api.admin.call(
        "DELETE", f"{ALL}/hub", expect=409
    )  # it is the one that served, and is kept until another does
    await api.pool.execute("update services set served_revision_id = revision_id")
    await api.admin.call("DELETE", f"{ALL}/hub")


async def test_old_versions_that_nothing_uses_are_dropped(api: ManagerApi) -> None:
    await put(api)
    await service(api)
    for number in range(KEPT + 5):
        await put(api, value=f"value {number}")
    there = [one["version"] for one in (await api.admin.call("GET", f"{ALL}/hub"))["versions"]]
    newest = KEPT + 6
    assert there == [*range(newest, newest - KEPT, -1), 1]


async def test_a_login_of_a_registry_that_is_none_is_refused_before_anything_is_made(api: ManagerApi) -> None:
    await put(api, "robot", "no-login")
    body = {"name": "chat", "project": "default", "runtime": "cmd", "image": "img", "pull_secret": "robot"}
    problem = await api.admin.call("POST", "/v1/services", body, expect=400)
    assert problem["errors"] == [
        {
            "field": "pull_secret",
            "found": "robot, whose value is no login",
            "allowed": "a secret USER:PASSWORD",
            "pointer": "#/pull_secret",
        }
    ]


async def test_deleting_a_project_deletes_its_secrets(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "other"})
    await api.admin.call("PUT", "/v1/projects/other/secrets/hub", {"value": VALUE})
    await api.admin.call("DELETE", "/v1/projects/other")
    assert await api.pool.fetchval("select count(*) from secret_versions") == 0


async def test_a_new_key_encrypts_what_former_ones_did(api: ManagerApi, tmp_path: Any) -> None:
    root = bytes.fromhex(manager_settings(tmp_path).secret_key.get_secret_value())
    new = new_secrets_key()
    await put(api)
    await put(api, value="second")
    before = await api.pool.fetch("select value, data_key from secret_versions order by version")
    await SecretsLoop(api.pool, SecretKeys(root, ("secret-key", new))).one_pass()
    assert await api.pool.fetch("select value, data_key from secret_versions order by version") == before
    using = SecretKeys(root, (new, "secret-key"))
    for _ in range(2):
        await SecretsLoop(api.pool, using).one_pass()
    after = await api.pool.fetch("select value, data_key, key_id from secret_versions order by version")
    assert [row["value"] for row in after] == [row["value"] for row in before]
    assert {row["key_id"] for row in after} == {using.current}
    done = [item["details"] for item in (await api.admin.call("GET", "/v1/audit?action=secrets.rewrapped"))["items"]]
    assert done == [{"key": using.current, "versions": 2}]
    body = {"name": "chat", "project": "default", "runtime": "cmd", "image": "img", "pull_secret": "hub"}
    problem = await api.admin.call("POST", "/v1/services", body, expect=503)
    assert problem["reason"] == "secret-key-changed", "this manager lacks the key, and says so"
    assert (await put(api, value="third"))["version"] == 3, "a value whose key was lost can be replaced"


async def test_a_masked_variable_keeps_its_value_and_is_shown_nowhere(api: ManagerApi) -> None:
    spec = {"runtime": "cmd", "image": "img", "environ": {"PASSWORD": VALUE, "LEVEL": "info"}, "masked": ["PASSWORD"]}
    answers = [await api.admin.call("POST", "/v1/services", {"name": "chat", "project": "default", **spec})]
    await api.admin.call("POST", "/v1/validations", {"project": "default", **spec})
    read = (await api.admin.call("GET", "/v1/services/chat/revisions"))["items"][0]["spec"]
    assert read["environ"] == {"PASSWORD": MASK, "LEVEL": "info"}
    changed = {**read, "environ": {**read["environ"], "LEVEL": "debug"}}
    answers.append(await api.admin.call("PATCH", "/v1/services/chat", {"spec": changed}))
    other = {**spec, "environ": {"PASSWORD": f"{VALUE}2", "LEVEL": "info"}}
    answers.append(await api.admin.call("PATCH", "/v1/services/chat", {"spec": other}))
    answers.append(await api.admin.call("POST", "/v1/services/chat/rollback", {"revision": 2}))
    paths = ("chat", "chat/revisions", "chat/revisions/2", "chat/revisions/3", "chat/history")
    answers += [await api.admin.call("GET", f"/v1/services/{path}") for path in paths]
    answers.append(await api.admin.call("GET", "/v1/audit"))
    assert VALUE not in str(answers)
    assert VALUE not in await api.pool.fetchval("select jsonb_agg(to_jsonb(e))::text from events e")
    stored = await api.pool.fetch("select resolved -> 'environ' as environ from revisions order by number")
    assert [row["environ"] for row in stored] == [
        spec["environ"],
        {"PASSWORD": VALUE, "LEVEL": "debug"},
        other["environ"],
        {"PASSWORD": VALUE, "LEVEL": "debug"},
    ]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"environ": {"A": MASK}, "masked": ["A"]}, "environ.A"),
        ({"environ": {"A": "x"}, "masked": ["B"]}, "masked[0]"),
        ({"environ": {"A": "x"}, "masked": ["1"]}, "masked[0]"),
    ],
)
async def test_a_mask_without_a_value_is_refused(api: ManagerApi, spec: dict[str, Any], field: str) -> None:
    body = {"name": "chat", "project": "default", "runtime": "cmd", "image": "img", **spec}
    problem = await api.admin.call("POST", "/v1/services", body, expect=400)
    assert [row["field"] for row in problem["errors"]] == [field]
