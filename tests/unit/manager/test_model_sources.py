"""Model URIs: their forms, which of them and which addresses are allowed, and what waits for an import says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from headrace.common.contracts.ids import FolderId, ImportId, ProjectId, Slug, new_uuid
from headrace.common.contracts.model_uri import ModelUri, bucket_name, host_path, hub_name, web_name
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.common.contracts.wording import Refused
from headrace.manager.domain.model_import import LONGEST_RETRY_S, Import, retry_after, wait_reason
from headrace.manager.domain.model_source import Listing, SourceError, SourceFile, folder_name, import_id
from headrace.manager.domain.source_policy import SourcePolicy, origin

URI: TypeAdapter[str] = TypeAdapter(ModelUri)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("uri", "repo", "revision"),
    [
        ("hf://acme/tiny", "acme/tiny", "main"),
        ("hf://gpt2@refs/pr/1", "gpt2", "refs/pr/1"),
        (f"hf://acme/tiny-1.5_x@{'a' * 40}", "acme/tiny-1.5_x", "a" * 40),
    ],
)
def test_a_hub_uri_names_a_repository_and_a_revision(uri: str, repo: str, revision: str) -> None:
    assert URI.validate_python(uri) == uri
    assert hub_name(uri) == (repo, revision)


@pytest.mark.parametrize(
    "uri",
    [
        "hf://",
        "hf://a/b/c",
        "hf://acme/..",
        "hf://acme/x@../y",
        "hf://acme/x@",
        "https://host",
        "https://host/",
        "https://host/dir/",
        "https://host/a/../b",
        "https://host/%2e%2e/b",
        "https://host/a%2f..%2fb",
        "https://host/a%5cb",
        "https://user:secret@host/a",
        "https://host/a#b",
        "https://host:99999/a",
        "https://host/a b",
        "https://ho\nst/a",
        "https:///a",
        "file://host/a",
        "file:///",
        "file:///a/../b",
        "file:///a,b",
        "ftp://host/a",
        "s3://bucket",
        "s3://bucket/",
        "s3://Bucket/x",
        "s3://bucket/../x",
        "s3://bucket/a//b",
        "",
    ],
)
def test_what_is_no_model_uri_is_refused_without_what_may_be_a_password(uri: str) -> None:
    with pytest.raises(ValidationError) as refused:
        URI.validate_python(uri)
    assert "secret" not in refused.value.errors(include_input=False)[0]["msg"]


@pytest.mark.parametrize("uri", ["s3://bucket/models/tiny", "s3://bucket/models/tiny/"])
def test_a_bucket_uri_names_a_bucket_and_a_prefix(uri: str) -> None:
    assert URI.validate_python(uri) == uri
    assert bucket_name(uri) == ("bucket", "models/tiny")


def test_a_file_uri_names_a_path_on_the_machines() -> None:
    assert URI.validate_python("file:///mnt/models/my model/") == "file:///mnt/models/my model/"
    assert host_path("file:///mnt/models/my model/") == "/mnt/models/my model"


def test_an_operator_says_which_projects_may_name_which_paths() -> None:
    policy = SourcePolicy(paths={"/mnt/all/": ("*",), "/mnt/a": ("a", "b")})
    assert policy.why_not_path("/mnt/all/x", "c") is None
    assert policy.why_not_path("/mnt/a", "b") is None
    assert policy.why_not_path("/mnt/a/x", "c") == "a path below /mnt/all/ (setting model_paths)"
    assert policy.why_not_path("/mnt/ab", "a") == "a path below /mnt/a, /mnt/all/ (setting model_paths)"
    assert SourcePolicy().why_not_path("/x", "a") == "none for project a (setting model_paths)"


def test_a_web_uri_names_a_file() -> None:
    assert web_name("https://host:8443/a/my%20model.gguf?download=1") == "my model.gguf"


def test_a_port_that_is_no_number_is_no_uri() -> None:
    with pytest.raises(Refused):
        web_name("https://[::1/a")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "ff0e::1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::a00:1",
        "fec0::1",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert "no public address" in str(SourcePolicy().why_not_addresses("host", ["8.8.8.8", address]))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert SourcePolicy().why_not_addresses("host", [address]) is None


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("host:0", "0 is no port; allowed: 1 to 65535"),
        ("host:65536", "65536 is no port; allowed: 1 to 65535"),
        ("[2606:4700::1]:x", "x is no port; allowed: 1 to 65535"),
        ("%31%32%37.0.0.1", "%31%32%37.0.0.1 is no name of a host"),
        ("a..b", "a..b is no name of a host"),
        ("127.1", "127.1 is no name of a host"),
        ("host:443", None),
        ("host:", None),
        ("a_b.example.com.", None),
    ],
)
def test_a_url_whose_host_or_port_nobody_has_is_refused(place: str, why: str | None) -> None:
    assert SourcePolicy().why_not_url(f"https://{place}/a") == why


def test_an_operator_allows_networks_hosts_and_schemes() -> None:
    policy = SourcePolicy(
        frozenset({"https"}),
        ("models.corp", ".cdn.corp"),
        (ip_network("10.0.0.0/8"),),
        frozenset({"http://hub.corp:80"}),
    )
    assert policy.why_not_scheme("https") is None
    assert policy.why_not_scheme("hf") == "https://…"
    assert SourcePolicy(frozenset()).why_not_scheme("hf") == "none"
    assert policy.why_not_addresses("host", ["10.1.1.1"]) is None
    assert policy.why_not_url("https://models.corp/a") is None
    assert policy.why_not_url("https://eu.cdn.corp/a") is None
    assert policy.why_not_url("http://hub.corp/a") is None
    assert "http is not allowed" in str(policy.why_not_url("http://hub.corp:8080/a"))
    assert "host hub.corp is not allowed" in str(policy.why_not_url("https://hub.corp/a"))
    assert origin("https://Hub.corp./a") == "https://hub.corp:443"
    assert policy.why_not_url("http://hub.corp:x/a") is not None
    assert "host evilmodels.corp is not allowed" in str(policy.why_not_url("https://evilmodels.corp/a"))
    assert "http is not allowed" in str(policy.why_not_url("http://models.corp/a"))
    assert "no scheme is not allowed" in str(policy.why_not_url("/a"))
    assert "no host" in str(SourcePolicy().why_not_url("https:///a"))
    assert "no public address" in str(SourcePolicy().why_not_url("https://[::1]/a"))
    assert "no public address" in str(SourcePolicy(frozenset({"http"})).why_not_url("http://127.0.0.1/a"))


def listing(*paths: str) -> Listing:
    return Listing("v", tuple(SourceFile(path, 1, "https://x") for path in paths))


def test_a_listing_says_what_it_has() -> None:
    found = listing("b", "a", "c/d").check()
    assert (found.size_bytes, found.top_names) == (3, ("a", "b"))


@pytest.mark.parametrize("paths", [(), ("a", "a"), ("../a",), ("a", "a/b"), ("x" * 300,), ("a\\b",)])
def test_files_that_no_folder_can_have_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(SourceError) as refused:
        listing(*paths).check()
    assert refused.value.lasting


def test_too_many_files_are_refused() -> None:
    with pytest.raises(SourceError, match="100001 files"):
        listing(*map(str, range(100_001))).check()


@given(st.text(max_size=100))
def test_a_folder_s_name_is_a_slug_and_another_one_for_another_uri(rest: str) -> None:
    name = folder_name(f"hf://{rest}")
    assert TypeAdapter(Slug).validate_python(name) == name
    assert name != folder_name(f"hf://{rest}x")


def test_an_import_has_the_same_id_for_all() -> None:
    folder = FolderId(new_uuid())
    assert import_id(folder, "v") == import_id(folder, "v") != import_id(folder, "w")


def an_import(**changes: Any) -> Import:
    usual: dict[str, Any] = {
        "id": ImportId(new_uuid()),
        "folder_id": FolderId(new_uuid()),
        "project_id": ProjectId(new_uuid()),
        "project": "p",
        "uri": "hf://a/b",
        "version": "v",
        "size_bytes": 15 * 2**30,
        "files": 1,
        "done_bytes": 12 * 2**30,
        "bytes_per_s": None,
        "snapshot_id": None,
        "error": None,
        "attempts": 0,
        "next_try_at": NOW,
        "running": True,
        "ended_at": None,
    }
    return Import(**(usual | changes))


def test_what_waits_says_how_far_the_import_is() -> None:
    code = PlacementReason.MODEL_IMPORTING
    assert wait_reason(None)[0] is code
    assert wait_reason(an_import(running=False)) == (code, "the import of its model waits for its turn")
    assert wait_reason(an_import()) == (code, "12.0 GiB of 15.0 GiB of hf://a/b are here")
    rate = an_import(bytes_per_s=80 * 2**20)
    assert wait_reason(rate)[1].endswith("are here, 80 MiB/s, about 38 s left")
    slow = an_import(bytes_per_s=500 * 2**10)
    assert ", 500 KiB/s, about " in wait_reason(slow)[1]
    failed = an_import(running=False, error="404", attempts=2)
    assert wait_reason(failed) == (
        PlacementReason.MODEL_IMPORT_FAILED,
        "404 (tried 2 times, again at 00:00:00 UTC)",
    )


@given(st.integers(0, 10_000))
def test_a_failed_import_is_tried_again_later_and_later(attempts: int) -> None:
    assert timedelta(seconds=2) <= retry_after(attempts, lasting=False) <= timedelta(seconds=LONGEST_RETRY_S)
    assert retry_after(attempts, lasting=True) == timedelta(seconds=LONGEST_RETRY_S)
