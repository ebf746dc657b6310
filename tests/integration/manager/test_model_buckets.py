"""Models in buckets of an S3 server (moto's): imported whole, at the version that the bucket had."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.common.db.pool import Pool
from headrace.manager.wiring import Manager
from tests.support.ports import free_port
from tests.support.s3 import S3Server, s3_server
from tests.support.worlds.imports import ANY_SOURCE, files_of, imported, importing, uri_service
from tests.support.worlds.manager_api import ManagerApi, serving

WEIGHTS = hashlib.sha256(b"weights").digest() * 2**16
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, "a b/ü+%41.txt": b"a b c"}
KEYS = '[[credentials]]\nuri = "s3://models/"\nprojects = ["default"]\naccess_key_id = "AK"\nsecret_access_key = "hidden"\n'


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(free_port(), tmp_path_factory.mktemp("s3") / "log") as running:
        yield running


@pytest.fixture
def server(running_server: S3Server) -> S3Server:
    """The server, with a bucket of its own for each test."""
    running_server.http.post(f"{running_server.url}/moto-api/reset").raise_for_status()
    files = {f"tiny/{path}": content for path, content in FILES.items()}
    running_server.bucket("public", files)
    running_server.bucket("models", files | {"tiny-other/x": b"of another prefix"})
    return running_server


@pytest.fixture
def settings(server: S3Server, tmp_path: Path) -> dict[str, Any]:
    return ANY_SOURCE | {"s3_endpoint": server.url, "model_credentials_file": tmp_path / "credentials.toml"}


@pytest.fixture
async def api(pool: Pool, tmp_path: Path, settings: dict[str, Any]) -> AsyncIterator[ManagerApi]:
    (tmp_path / "credentials.toml").write_text(KEYS)
    async with serving(pool, tmp_path, **settings) as running:
        yield running


@pytest.fixture
async def manager(api: ManagerApi, tmp_path: Path, settings: dict[str, Any]) -> AsyncIterator[Manager]:
    async with importing(api.pool, tmp_path, **settings) as running:
        yield running


@pytest.mark.parametrize("bucket", ["models", "public"])
async def test_the_objects_below_a_prefix_are_imported_with_a_credential_or_without(
    api: ManagerApi, manager: Manager, bucket: str
) -> None:
    await api.admin.call("POST", "/v1/services", uri_service(f"s3://{bucket}/tiny"))
    service = await imported(api)
    assert files_of(api, service) == FILES
    assert "hidden" not in str(service)


async def test_the_keys_of_a_bucket_may_be_a_secret_of_the_project(
    api: ManagerApi, manager: Manager, tmp_path: Path
) -> None:
    (tmp_path / "credentials.toml").write_text("")
    put, body = "/v1/projects/default/secrets/bucket", uri_service("s3://models/tiny", model_secret="bucket")
    await api.admin.call("PUT", put, {"value": "no pair"})
    refused = await api.admin.call("POST", "/v1/services", body, expect=400)
    assert "a secret ACCESS_KEY_ID:SECRET_ACCESS_KEY" in refused["detail"]
    await api.admin.call("PUT", put, {"value": "AK:hidden"})
    await api.admin.call("POST", "/v1/services", body)
    service = await imported(api)
    assert files_of(api, service) == FILES
    assert "hidden" not in str(service)


async def test_one_object_is_a_file(api: ManagerApi, manager: Manager) -> None:
    await api.admin.call("POST", "/v1/services", uri_service("s3://models/tiny/model.safetensors"))
    assert files_of(api, await imported(api)) == {"model.safetensors": WEIGHTS}


async def test_a_bucket_that_changed_says_so_and_a_refresh_takes_it(
    api: ManagerApi, server: S3Server, tmp_path: Path, settings: dict[str, Any]
) -> None:
    made = await api.admin.call("POST", "/v1/services", uri_service("s3://models/tiny"))
    server.delete("models", "tiny/config.json")
    async with importing(api.pool, tmp_path, **settings):
        with pytest.raises(AssertionError, match="has changed"):
            await imported(api, within_s=10)
        spec = {"runtime": "vllm", "model_uri": "s3://models/tiny", "slots": {"cpu": 1, "mem": "1g"}}
        again = await api.admin.call("PATCH", "/v1/services/chat", {"spec": spec})
        assert again["effective"]["source"]["version"] != made["effective"]["source"]["version"]
        assert set(files_of(api, await imported(api))) == set(FILES) - {"config.json"}


@pytest.mark.parametrize(
    ("uri", "words"), [("s3://models/none", "nothing at"), ("s3://missing/x", "nothing at"), ("s3://x", "s3://bucket")]
)
async def test_what_is_not_there_is_refused_at_once(api: ManagerApi, uri: str, words: str) -> None:
    refused = await api.admin.call("POST", "/v1/services", uri_service(uri), expect=400)
    assert words in refused["detail"]


async def test_a_server_that_is_away_is_said_to_be(api: ManagerApi, pool: Pool, tmp_path: Path) -> None:
    away = ANY_SOURCE | {"s3_endpoint": f"http://127.0.0.1:{free_port()}"}
    async with serving(pool, tmp_path / "away", **away) as other:
        refused = await other.admin.call("POST", "/v1/services", uri_service("s3://models/tiny"), expect=503)
    assert refused["reason"] == "model-source-unavailable"
    assert "s3://models/tiny" in refused["detail"]


async def test_a_bucket_that_needs_a_credential_says_so(api: ManagerApi, tmp_path: Path) -> None:
    (tmp_path / "credentials.toml").write_text("")
    refused = await api.admin.call("POST", "/v1/services", uri_service("s3://models/tiny/config.json"), expect=400)
    assert "needs a credential" in refused["detail"]


async def test_a_token_for_a_bucket_is_no_credential_of_it(api: ManagerApi, tmp_path: Path) -> None:
    (tmp_path / "credentials.toml").write_text(
        '[[credentials]]\nuri = "s3://models/"\nprojects = ["*"]\ntoken = "hidden"\n'
    )
    refused = await api.admin.call("POST", "/v1/services", uri_service("s3://models/tiny"), expect=503)
    assert "model_credentials_file is invalid at credentials[0]" in refused["detail"]
    assert "hidden" not in str(refused)
