"""`join-token` and `identity`: what is sent and shown."""

from __future__ import annotations

from typing import Any

from tests.support.fakes.manager_api import NOW, FakeManagerApi, uid
from tests.support.worlds.cli import Cli

TOKEN: dict[str, Any] = {
    "id": uid(1),
    "kind": "agent",
    "resource_group": "a100",
    "labels": {},
    "uses": 3,
    "used": 0,
    "created_at": NOW,
    "created_by": "ada",
    "expires_at": NOW,
    "revoked_at": None,
}
NEW = {**TOKEN, "token": "hrj_x", "url": "https://ml", "ca_sha256": "ab", "command": "(the line) | sudo sh"}
IDENTITY: dict[str, Any] = {
    "name": "gpu-7",
    "kind": "agent",
    "public_key": "U" + "A" * 55,
    "joined_at": NOW,
    "issued_at": NOW,
    "expires_at": NOW,
    "revoked_at": None,
    "revoked_by": "",
    "revoked_reason": "",
}


def test_the_line_to_run_is_all_that_is_printed(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", "/v1/join-tokens", NEW)
    ran = cli("agent", "join-token", "--group", "a100", "--label", "zone=a", "--ttl", "2h", "--uses", "3")
    assert ran.out == "(the line) | sudo sh\n"
    assert "it holds a secret" in ran.err
    assert f"headrace join-token revoke {uid(1)}" in ran.err
    assert there.bodies[-1] == {
        "kind": "agent",
        "resource_group": "a100",
        "labels": {"zone": "a"},
        "ttl_s": 7200,
        "uses": 3,
    }
    assert cli("agent", "join-token", "--docker").code == 0
    assert there.bodies[-1]["form"] == "docker"
    assert cli("agent", "join-token", "--json").json["token"] == "hrj_x"
    for kind in ("proxy", "autoscaler"):
        there.on("POST", "/v1/join-tokens", NEW | {"kind": kind})
        assert cli(kind, "join-token").code == 0
        assert there.bodies[-1]["kind"] == kind


def test_wrong_options_are_said_before_anything_is_sent(cli: Cli, there: FakeManagerApi) -> None:
    assert cli("agent", "join-token", "--ttl", "soon").code == 2
    assert cli("agent", "join-token", "--label", "zone").code == 2
    assert cli("agent", "join-token", "--uses", "0").code == 2
    assert there.bodies == []


def test_tokens_are_listed_and_revoked(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/join-tokens", {"items": [TOKEN, TOKEN | {"kind": "proxy", "revoked_at": NOW}], "next": None})
    ran = cli("join-token", "ls")
    assert "0 of 3" in ran.out
    assert "a100" in ran.out
    there.on("DELETE", f"/v1/join-tokens/{uid(1)}", None, status=204)
    assert cli("join-token", "revoke", uid(1)).code == 0


def test_identities_are_listed_and_revoked_with_a_reason(cli: Cli, there: FakeManagerApi) -> None:
    revoked = {"name": "gpu-8", "revoked_at": NOW, "revoked_by": "ada", "revoked_reason": "stolen", "expires_at": None}
    there.on("GET", "/v1/identities", {"items": [IDENTITY, IDENTITY | revoked], "next": None})
    ran = cli("identity", "ls")
    assert all(word in ran.out for word in ("gpu-7", "gpu-8", "stolen", "by ada", "never"))
    assert cli("identity", "revoke", "gpu-7").code == 2, "nobody is there to ask"
    there.on("DELETE", "/v1/identities/gpu-7", None, status=204)
    assert cli("identity", "revoke", "gpu-7", "-m", "stolen", "--yes").code == 0
    assert there.seen[-1] == ("DELETE", "/v1/identities/gpu-7?reason=stolen")
