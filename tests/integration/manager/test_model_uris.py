"""Model URIs: a service's files come from a hub or a web server, once, whole, and stay what they were."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import utc_now
from headrace.install.certificates import new_authority, new_certificate
from headrace.manager.wiring import Manager
from tests.support.fakes.model_source import FakeModelSource, serving_models
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.imports import ANY_SOURCE, files_of, imported, importing, uri_service
from tests.support.worlds.manager_api import ManagerApi, serving

OLD, NEW = "a" * 40, "b" * 40
WEIGHTS = hashlib.sha256(b"weights").digest() * 2**16
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, "tokenizer/vocab.txt": b"a b c"}
HUB = "hf://acme/tiny"


@pytest.fixture
async def source() -> AsyncIterator[FakeModelSource]:
    async with serving_models(free_port()) as served:
        served.commit("acme/tiny", OLD, FILES)
        yield served


@pytest.fixture
def settings(source: FakeModelSource, tmp_path: Path) -> dict[str, Any]:
    return ANY_SOURCE | {"hub_endpoint": source.url, "model_credentials_file": tmp_path / "credentials.toml"}


@pytest.fixture
async def api(pool: Pool, tmp_path: Path, settings: dict[str, Any]) -> AsyncIterator[ManagerApi]:
    (tmp_path / "credentials.toml").write_text("")
    async with serving(pool, tmp_path, **settings) as running:
        yield running


@pytest.fixture
async def manager(api: ManagerApi, tmp_path: Path, settings: dict[str, Any]) -> AsyncIterator[Manager]:
    async with importing(api.pool, tmp_path, **settings) as running:
        yield running


async def update(api: ManagerApi, uri: str) -> Any:
    spec = {key: value for key, value in uri_service(uri).items() if key != "name"}
    return await api.admin.call("PATCH", "/v1/services/chat", {"spec": spec})


async def test_a_hub_s_repository_is_imported_at_its_commit(
    api: ManagerApi, manager: Manager, source: FakeModelSource
) -> None:
    made = await api.admin.call("POST", "/v1/services", uri_service(HUB))
    size = sum(map(len, FILES.values()))
    assert made["effective"]["source"] | {"import_id": ""} == {
        "uri": HUB,
        "version": OLD,
        "import_id": "",
        "size_bytes": size,
        "files": 3,
    }
    service = await imported(api)
    assert files_of(api, service) == FILES
    assert service["model_import"]["size_bytes"] == size
    row = await api.pool.fetchrow("select stored_bytes, stored_files from folders")
    assert row is not None
    assert tuple(row) == (size, 4)  # with the directory
    assert await api.pool.fetchval("select count(*) from reservations") == 0
    assert [*(api.folders / ".imports").iterdir()] == []


async def test_the_same_version_is_fetched_once_and_the_next_only_where_it_differs(
    api: ManagerApi, manager: Manager, source: FakeModelSource
) -> None:
    await api.admin.call("POST", "/v1/services", uri_service(HUB))
    await api.admin.call("POST", "/v1/services", uri_service(HUB, "other"))
    first = await imported(api)
    assert files_of(api, await imported(api, "other")) == FILES
    assert source.served_bytes == sum(map(len, FILES.values()))

    again = await update(api, HUB)
    assert (again["revision"], again["note"]["code"]) == (1, "unchanged")
    changed = FILES | {"config.json": b'{"new": 1}'}
    del changed["tokenizer/vocab.txt"]
    source.commit("acme/tiny", NEW, changed)
    before = source.served_bytes
    assert (await update(api, HUB))["revision"] == 2
    assert files_of(api, await imported(api)) == changed
    assert source.served_bytes == before + len(b'{"new": 1}')
    assert await api.pool.fetchval("select stored_bytes from folders") == sum(map(len, changed.values())) + 2 + 5

    back = await api.admin.call("POST", "/v1/services/chat/rollback", {"revision": 1})
    assert back["effective"]["mounts"] == first["effective"]["mounts"]
    assert files_of(api, back) == FILES


async def test_a_pinned_commit_is_not_that_of_the_branch(
    api: ManagerApi, manager: Manager, source: FakeModelSource
) -> None:
    source.commit("acme/tiny", NEW, {"config.json": b"new"})
    await api.admin.call("POST", "/v1/services", uri_service(f"{HUB}@{OLD}"))
    assert files_of(api, await imported(api)) == FILES


async def test_a_file_of_a_web_server_is_imported(api: ManagerApi, manager: Manager, source: FakeModelSource) -> None:
    source.files["model.gguf"] = WEIGHTS
    made = uri_service(f"{source.url}/files/model.gguf") | {"runtime": "llama-cpp"}
    await api.admin.call("POST", "/v1/services", made)
    assert files_of(api, await imported(api)) == {"model.gguf": WEIGHTS}


async def test_a_definition_in_the_source_is_read_before_the_rest_is_fetched(
    api: ManagerApi, manager: Manager, source: FakeModelSource
) -> None:
    definition = b"models: [{name: m, model_path: /models, service: {start_command: [x], port: 9}}]"
    source.commit("acme/tiny", NEW, FILES | {"model-definition.yaml": definition})
    made = await api.admin.call("POST", "/v1/services", uri_service(HUB) | {"runtime": "custom"})
    assert (made["effective"]["model_name"], made["effective"]["port"]) == ("m", 9)
    source.commit("acme/tiny", OLD, FILES)
    refused = await api.admin.call(
        "POST", "/v1/services", uri_service(HUB, "other") | {"runtime": "custom"}, expect=422
    )
    assert "model-definition.yaml" in refused["detail"]


async def test_a_broken_connection_is_continued_where_it_broke(
    api: ManagerApi, manager: Manager, source: FakeModelSource
) -> None:
    source.breaks_after = 1_500_000
    await api.admin.call("POST", "/v1/services", uri_service(HUB))
    await eventually(lambda: source.served_bytes > 1_500_000)

    async def failed() -> Any:
        seen = await api.admin.service("chat")
        return seen["model_import"]["state"] == "failed" and seen

    seen = await eventually(failed)
    assert seen["model_import"]["error"] == "the connection broke: it ended before all had come"
    source.breaks_after = None
    await api.admin.call("POST", "/v1/services/chat/retry")
    manager.pokes.poke("imports")
    assert files_of(api, await imported(api)) == FILES
    assert source.ranges == ["bytes=1500000-"]


async def test_content_with_another_digest_is_refused(
    api: ManagerApi, manager: Manager, source: FakeModelSource
) -> None:
    source.spoiled = True
    await api.admin.call("POST", "/v1/services", uri_service(HUB))

    async def failed() -> Any:
        return (await api.admin.service("chat"))["model_import"]["error"]

    assert "came with" in await eventually(failed)
    source.spoiled = False
    await api.admin.call("POST", "/v1/services/chat/retry")
    manager.pokes.poke("imports")
    assert files_of(api, await imported(api)) == FILES


async def test_a_manager_that_ends_leaves_the_import_to_another(
    api: ManagerApi, source: FakeModelSource, tmp_path: Path, settings: dict[str, Any]
) -> None:
    source.breaks_after = 1_500_000
    await api.admin.call("POST", "/v1/services", uri_service(HUB))

    async def broke_off() -> bool:
        return bool((await api.admin.service("chat"))["model_import"]["state"] == "failed")

    async with importing(api.pool, tmp_path, **settings):
        await eventually(broke_off)
        source.breaks_after = None
        source.gate.clear()
    source.gate.set()
    async with importing(api.pool, tmp_path, **settings):
        assert files_of(api, await imported(api)) == FILES
    assert set(source.ranges) == {"bytes=1500000-"}


async def test_a_manager_that_was_killed_loses_its_import_when_its_lease_ends(
    api: ManagerApi, manager: Manager, source: FakeModelSource
) -> None:
    source.breaks_after = 1_500_000
    await api.admin.call("POST", "/v1/services", uri_service(HUB))

    async def failed() -> Any:
        return (await api.admin.service("chat"))["model_import"]["state"] == "failed"

    await eventually(failed)
    source.breaks_after = None
    leased = (
        "update imports set next_try_at = now(), leased_by = gen_random_uuid(), leased_until = now() + $1::interval"
    )
    await api.pool.execute(leased, timedelta(hours=1))  # as a killed manager leaves it
    await manager.imports.one_pass()
    assert (await api.admin.service("chat"))["model_import"]["state"] == "running"
    assert source.ranges == []
    await api.pool.execute(leased, timedelta(seconds=-1))
    await manager.imports.one_pass()
    assert files_of(api, await imported(api)) == FILES
    assert source.ranges == ["bytes=1500000-"]


async def test_two_managers_fetch_once(
    api: ManagerApi, manager: Manager, source: FakeModelSource, tmp_path: Path, settings: dict[str, Any]
) -> None:
    async with importing(api.pool, tmp_path, **settings):
        await api.admin.call("POST", "/v1/services", uri_service(HUB))
        await imported(api)
    assert source.served_bytes == sum(map(len, FILES.values()))


async def test_a_replica_waits_and_says_how_far_the_import_is(
    api: ManagerApi, manager: Manager, source: FakeModelSource
) -> None:
    source.gate.clear()
    await api.admin.call("POST", "/v1/services", uri_service(HUB))
    await api.machine("agent-1")

    async def reason() -> Any:
        await manager.loops.by_name["services"].one_pass()
        await manager.loops.by_name["placement"].one_pass()
        return (await api.admin.service("chat"))["replica_list"][0]["reason"]

    async def running() -> Any:
        found = await reason()
        return "are here" in found["text"] and found

    found = await eventually(running)
    assert found["code"] == "model-importing"
    assert found["text"].startswith("0 MiB of 2 MiB of hf://acme/tiny are here")
    source.gate.set()
    await imported(api)
    assert (await reason())["code"] not in {"model-importing", "model-import-failed"}


async def test_a_token_is_for_its_projects_and_uris_only_and_goes_nowhere_else(
    api: ManagerApi, manager: Manager, source: FakeModelSource, tmp_path: Path
) -> None:
    source.token = "hf_secret"
    refused = await api.admin.call("POST", "/v1/services", uri_service(HUB), expect=400)
    assert "401" in refused["detail"]
    text = '[[credentials]]\nuri = "hf://acme/"\nprojects = ["default"]\ntoken = "hf_secret"\n'
    (tmp_path / "credentials.toml").write_text(text)
    await api.admin.call("POST", "/v1/services", uri_service(HUB))
    service = await imported(api)
    assert files_of(api, service) == FILES
    assert "hf_secret" not in str(service) + str(refused)

    await api.admin.call("POST", "/v1/projects", {"name": "others"})
    other = await api.admin.call("POST", "/v1/services", uri_service(HUB, "x", project="others"), expect=400)
    assert "401" in other["detail"]
    source.files["m.bin"] = b"x"
    source.credentials.clear()
    await api.admin.call(
        "POST", "/v1/services", uri_service(f"{source.url}/files/m.bin", "web", project="default"), expect=400
    )
    assert set(source.credentials) == {""}


async def test_a_secret_of_the_project_opens_its_source_to_the_request_and_to_the_import(
    api: ManagerApi, manager: Manager, source: FakeModelSource, tmp_path: Path
) -> None:
    source.token = "hf_secret"
    text = '[[credentials]]\nuri = "hf://acme/"\nprojects = ["*"]\ntoken = "hf_wrong"\n'
    (tmp_path / "credentials.toml").write_text(text)
    put = "/v1/projects/default/secrets/hub"
    for value, words in (("hf_old", "model_secret, or the setting"), ("two words", "a secret that is a token")):
        await api.admin.call("PUT", put, {"value": value})
        refused = await api.admin.call("POST", "/v1/services", uri_service(HUB, model_secret="hub"), expect=400)
        assert words in refused["detail"]
        assert value not in str(refused)
    await api.admin.call("PUT", put, {"value": "hf_secret\n"})
    await api.admin.call("POST", "/v1/services", uri_service(HUB, model_secret="hub"))
    service = await imported(api)
    assert files_of(api, service) == FILES
    assert [(pin["use"], pin["version"]) for pin in service["effective"]["secrets"]] == [("model", 3)]
    assert "hf_secret" not in str(service)
    async with api.pool.acquire() as con:
        (request,) = await con.fetch("select resolved from revisions")
    assert request["resolved"]["secret_bytes"] == 0, "machines do not get it"
    no_uri = {"name": "x", "project": "default", "runtime": "cmd", "image": "i", "model_secret": "hub"}
    refused = await api.admin.call("POST", "/v1/services", no_uri, expect=400)
    assert refused["errors"][0]["field"] == "model_secret"


async def test_an_import_goes_on_with_the_secret_that_a_refresh_brings(
    api: ManagerApi, source: FakeModelSource, settings: dict[str, Any], tmp_path: Path
) -> None:
    """The token is replaced between the request and the import."""
    put = "/v1/projects/default/secrets/hub"
    source.token = "hf_first"
    await api.admin.call("PUT", put, {"value": "hf_first"})
    await api.admin.call("POST", "/v1/services", uri_service(HUB, model_secret="hub"))
    source.token = "hf_second"
    async with importing(api.pool, tmp_path, **settings):

        async def failed() -> bool:
            shown = (await api.admin.service("chat"))["model_import"]
            return "401" in (shown["error"] or "")

        await eventually(failed)
        await api.admin.call("PUT", put, {"value": "hf_second"})
        await api.admin.call("PATCH", "/v1/services/chat", {"refresh_secrets": True})
        assert files_of(api, await imported(api)) == FILES


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("hf://acme/none", "404"),
        (f"{HUB}@nothing", "404"),
        ("{url}/files/none", "404"),
        ("{url}/files/moved", "is no public address"),
        ("http://169.254.169.254/latest/meta-data", "is no public address"),
        ("http://[::ffff:10.0.0.1]/x", "is no public address"),
        ("https://user:secret@example.com/x", "without user, password"),
        ("https://example.com/a/%2e%2e/x", "parts like .."),
        ("hf://acme/../x", "hf://org/name"),
        ("ftp://example.com/x", "hf://org/name"),
    ],
)
async def test_a_source_that_cannot_be_used_is_refused_at_once(
    api: ManagerApi, source: FakeModelSource, uri: str, words: str
) -> None:
    source.moved_to = "http://10.1.2.3/inside"
    refused = await api.admin.call("POST", "/v1/services", uri_service(uri.format(url=source.url)), expect=400)
    assert refused["errors"][0]["field"] == "model_uri"
    assert words in refused["detail"]
    assert "secret" not in str(refused)
    assert await api.pool.fetchval("select count(*) from services") == 0
    assert await api.pool.fetchval("select count(*) from imports") == 0


async def test_what_does_not_fit_is_refused_before_with_numbers(api: ManagerApi, source: FakeModelSource) -> None:
    await api.admin.call("PATCH", "/v1/projects/default", {"quota": {"storage": "1m"}})
    refused = await api.admin.call("POST", "/v1/services", uri_service(HUB), expect=409)
    assert refused["type"].endswith("quota-exceeded")
    assert source.served_bytes == 0


async def test_a_file_that_changed_since_says_so_and_a_refresh_takes_it(
    api: ManagerApi, source: FakeModelSource, tmp_path: Path, settings: dict[str, Any]
) -> None:
    source.files["m.bin"] = b"old"
    uri = f"{source.url}/files/m.bin"
    await api.admin.call("POST", "/v1/services", uri_service(uri))
    source.files["m.bin"] = b"other"
    async with importing(api.pool, tmp_path, **settings):

        async def failed() -> Any:
            return (await api.admin.service("chat"))["model_import"]["error"]

        assert "has changed" in await eventually(failed)
        assert (await update(api, uri))["revision"] == 2
        assert files_of(api, await imported(api)) == {"m.bin": b"other"}


async def test_the_folder_of_a_uri_is_read_only_and_named(
    api: ManagerApi, manager: Manager, source: FakeModelSource
) -> None:
    await api.admin.call("POST", "/v1/services", uri_service(HUB))
    await imported(api)
    (folder,) = (await api.admin.call("GET", "/v1/folders"))["items"]
    assert folder["source"] == HUB
    assert folder["name"].startswith("hf-acme-tiny-")
    refused = await api.admin.call("DELETE", f"/v1/folders/{folder['id']}/files/config.json", expect=409)
    assert HUB in refused["detail"]
    wrong = await api.admin.call("POST", "/v1/services", uri_service(HUB, "x") | {"folder": folder["name"]}, expect=400)
    assert "model_uri" in str(wrong)


async def test_what_nothing_needs_any_more_is_removed(
    api: ManagerApi, manager: Manager, source: FakeModelSource
) -> None:
    await api.admin.call("POST", "/v1/services", uri_service(HUB))
    await imported(api)
    await manager.imports.one_pass()
    await api.pool.execute("update folders set created_at = now() - interval '1 day'")
    await api.pool.execute("update imports set touched_at = now() - interval '1 day'")
    await manager.imports.remove_unused()
    assert await api.pool.fetchval("select count(*) from imports") == 1
    await api.admin.call("DELETE", "/v1/services/chat")
    await manager.imports.remove_unused()
    assert await api.pool.fetchval("select count(*) from imports") == 0
    assert (await api.admin.call("GET", "/v1/folders"))["items"] == []
    assert [path.name for path in (api.folders / ".snapshots").iterdir()] == []


async def test_a_source_by_https_is_verified_by_the_authority(pool: Pool, tmp_path: Path) -> None:
    authority = new_authority("models", utc_now())
    pair = new_certificate(authority, ["127.0.0.1"], utc_now())
    ca_file, chain = tmp_path / "ca.crt", tmp_path / "models.pem"
    ca_file.write_text(authority.certificate)
    chain.write_text(pair.certificate + pair.key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(chain)
    async with serving_models(free_port(), tls=tls) as source:
        source.files["m.bin"] = WEIGHTS
        uri = f"{source.url}/files/m.bin"
        async with serving(pool, tmp_path, **ANY_SOURCE) as api:
            refused = await api.admin.call("POST", "/v1/services", uri_service(uri), expect=503)
            assert refused["reason"] == "model-source-unavailable"
            assert "certificate" in refused["detail"].lower()
        trusting = ANY_SOURCE | {"ca_file": ca_file}
        async with serving(pool, tmp_path, **trusting) as api, importing(pool, tmp_path, **trusting):
            await api.admin.call("POST", "/v1/services", uri_service(uri))
            assert files_of(api, await imported(api)) == {"m.bin": WEIGHTS}


async def test_a_path_on_the_machines_is_mounted_where_the_operator_allows_it(pool: Pool, tmp_path: Path) -> None:
    allowed = {"/mnt/models": ("default",)}
    async with serving(pool, tmp_path, model_paths=allowed) as api:
        call = api.admin.call
        made = await call("POST", "/v1/services", uri_service("file:///mnt/models/tiny"))
        (mount,) = made["effective"]["mounts"]
        assert (mount["host_path"], mount["target"], mount["read_only"]) == ("/mnt/models/tiny", "/models", True)
        assert (made["folder_id"], made["effective"]["source"], made["model_import"]) == (None, None, None)
        await call("POST", "/v1/services/chat/restart")
        refused = await call("POST", "/v1/services", uri_service("file:///etc", "x"), expect=400)
        assert "a path below /mnt/models" in refused["detail"]
        custom = uri_service("file:///mnt/models/tiny", "x") | {"runtime": "custom"}
        assert "which managers do not see" in str(await call("POST", "/v1/services", custom, expect=400))
        await call("POST", "/v1/projects", {"name": "others"})
        other = uri_service("file:///mnt/models/tiny", "x", project="others")
        assert "none for project others" in str(await call("POST", "/v1/services", other, expect=400))


async def test_a_trial_run_waits_for_the_import_too(api: ManagerApi, manager: Manager, source: FakeModelSource) -> None:
    source.gate.clear()
    trial = {name: value for name, value in uri_service(HUB).items() if name != "name"}
    made = await api.admin.call("POST", "/v1/validations", trial)
    await manager.loops.by_name["placement"].one_pass()
    shown = await api.admin.call("GET", f"/v1/validations/{made['id']}")
    assert shown["reason"]["code"] == "model-importing"
    source.gate.set()

    async def filled() -> Any:
        return await api.pool.fetchval("select resolved #>> '{mounts,0,snapshot_id}' from sessions")

    assert await eventually(filled) == await api.pool.fetchval("select snapshot_id from imports")


async def test_a_full_disk_is_refused_before_and_said_when_it_fills_later(
    api: ManagerApi, source: FakeModelSource, pool: Pool, tmp_path: Path, settings: dict[str, Any]
) -> None:
    full = settings | {"storage_reserve_bytes": 2**60}
    async with serving(pool, tmp_path, **full) as other:
        refused = await other.admin.call("POST", "/v1/services", uri_service(HUB), expect=507)
    assert refused["needed_bytes"] == sum(map(len, FILES.values()))
    await api.admin.call("POST", "/v1/services", uri_service(HUB))
    async with importing(api.pool, tmp_path, **full):
        with pytest.raises(AssertionError, match="the storage has no room for the model"):
            await imported(api, within_s=10)
    assert source.served_bytes == 0


async def test_a_service_that_takes_another_model_no_longer_needs_the_first(
    api: ManagerApi, source: FakeModelSource, tmp_path: Path, settings: dict[str, Any]
) -> None:
    source.files["m.bin"] = b"x"
    await api.admin.call("POST", "/v1/services", uri_service(HUB))
    await update(api, f"{source.url}/files/m.bin")
    async with importing(api.pool, tmp_path, **settings):
        assert files_of(api, await imported(api)) == {"m.bin": b"x"}
    assert source.served_bytes == 1


async def test_a_redirect_to_another_server_gets_no_token(
    api: ManagerApi, manager: Manager, source: FakeModelSource, tmp_path: Path
) -> None:
    source.token = "hf_secret"
    text = '[[credentials]]\nuri = "hf://acme/tiny"\nprojects = ["*"]\ntoken = "hf_secret"\n'
    (tmp_path / "credentials.toml").write_text(text)
    async with serving_models(free_port()) as cdn:
        cdn.repos, source.cdn_url = source.repos, cdn.url
        await api.admin.call("POST", "/v1/services", uri_service(HUB))
        assert files_of(api, await imported(api)) == FILES
        assert cdn.credentials == [""]
        assert cdn.served_bytes == len(WEIGHTS)


async def test_what_came_of_an_import_that_nothing_needs_is_removed_and_comes_again_when_asked_for(
    api: ManagerApi, manager: Manager, source: FakeModelSource
) -> None:
    source.files["m.bin"] = b"x"
    source.breaks_after = 1_500_000
    await api.admin.call("POST", "/v1/services", uri_service(HUB))
    await eventually(lambda: source.served_bytes > 1_500_000)
    await update(api, f"{source.url}/files/m.bin")
    await imported(api)
    await eventually(lambda: [*(api.folders / ".imports").iterdir()])

    async def removed() -> bool:
        await api.pool.execute("update imports set touched_at = now() - interval '1 day', leased_until = null")
        await manager.imports.remove_unused()
        return [*(api.folders / ".imports").iterdir()] == []

    await eventually(removed)
    source.breaks_after = None
    await api.admin.call("POST", "/v1/services/chat/rollback", {"revision": 1})
    manager.pokes.poke("imports")
    assert files_of(api, await imported(api)) == FILES


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ({"model_uri_networks": ()}, "host localhost is at"),
        ({"model_uri_hosts": ("models.example",)}, "host localhost is not allowed"),
        ({"model_uri_schemes": ("hf",)}, "allowed: hf://…"),
        ({"model_uri_schemes": ()}, "allowed: none"),
    ],
)
async def test_a_name_is_judged_by_the_address_that_it_resolves_to_and_by_the_lists(
    pool: Pool, tmp_path: Path, source: FakeModelSource, allowed: dict[str, Any], words: str
) -> None:
    source.files["m.bin"] = b"x"
    uri = f"{source.url.replace('127.0.0.1', 'localhost')}/files/m.bin"
    async with serving(pool, tmp_path, **(ANY_SOURCE | allowed)) as api:
        refused = await api.admin.call("POST", "/v1/services", uri_service(uri), expect=400)
    assert words in refused["detail"]
    assert source.credentials == []
