"""`headrace secret`: values come from standard input or a file, and are in no output and no argument."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes.manager_api import NOW, FakeManagerApi, problem, uid
from tests.support.worlds.cli import Cli

ALL = "/v1/projects/vision/secrets"
HUB: dict[str, Any] = {
    "id": uid(3),
    "name": "hub",
    "version": 1,
    "created_by": "ada",
    "created_at": NOW,
    "updated_by": "ada",
    "updated_at": NOW,
}


def version(number: int, *services: str, pinned: tuple[str, ...] = (), trial_runs: int = 0) -> dict[str, Any]:
    return {
        "version": number,
        "created_by": "ada",
        "created_at": NOW,
        "services": services,
        "pinned": pinned,
        "trial_runs": trial_runs,
    }


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what sets the bytes of standard input."""

    def given(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return given


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"hf_token\n", "hf_token"),
        (b"hf_token\r\n", "hf_token"),
        (b"hf_token", "hf_token"),
        (b" kept \n", " kept "),
        (b"-----BEGIN\nx\n-----END\n", "-----BEGIN\nx\n-----END\n"),
    ],
)
def test_a_value_is_sent_as_it_is_but_for_the_line_break_of_a_single_line(
    cli: Cli, there: FakeManagerApi, typed: Any, tmp_path: Path, content: bytes, value: str
) -> None:
    there.on("PUT", f"{ALL}/hub", HUB, status=201)
    typed(content)
    ran = cli("secret", "set", "hub", "--project", "vision")
    assert ran.code == 0, ran.err
    (tmp_path / "value").write_bytes(content)
    assert cli("secret", "set", "hub", "--project", "vision", "--file", tmp_path / "value").code == 0
    assert there.bodies == [{"value": value}, {"value": value}]
    assert value.strip() not in ran.out + ran.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found 0 bytes; allowed: text of 1 to 32768 bytes"),
        (b"x" * 32_769, "found 32769 bytes"),
        (b"x" * 100_000, "standard input: found more than 32768 bytes"),
        (b"\xff\xfe", "encode them, for example as base64"),
        (b"hf_token\x00", "found a NUL character"),
    ],
)
def test_what_can_be_no_value_is_refused_before_it_is_sent(
    cli: Cli, there: FakeManagerApi, typed: Any, content: bytes, words: str
) -> None:
    typed(content)
    ran = cli("secret", "set", "hub", "--project", "vision")
    assert (ran.code, there.bodies, ran.out) == (2, [], "")
    assert words in ran.err
    assert "hf_token" not in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_a_file_that_is_not_there_is_one_line(cli: Cli, tmp_path: Path) -> None:
    ran = cli("secret", "set", "hub", "--project", "vision", "--file", tmp_path / "none")
    assert (ran.code, ran.err) == (1, f"error: {tmp_path}/none cannot be read: No such file or directory\n")


def test_services_with_an_older_version_are_named_with_what_to_do(cli: Cli, there: FakeManagerApi, typed: Any) -> None:
    there.on("PUT", f"{ALL}/hub", HUB | {"version": 2})
    versions = [version(2, "new"), version(1, "chat", "echo", "fixed", pinned=("fixed",))]
    there.on("GET", f"{ALL}/hub", HUB | {"version": 2, "versions": versions})
    typed(b"other")
    ran = cli("secret", "set", "hub", "--project", "vision")
    assert ran.err.splitlines() == [
        f"{name} has version 1: headrace service update {name} --refresh-secrets" for name in ("chat", "echo")
    ]


def test_a_secret_is_shown_with_who_uses_it(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", ALL, {"items": [HUB], "next": None})
    assert "hub   1" in cli("secret", "ls", "-p", "vision").out
    there.on(
        "GET",
        f"{ALL}/hub",
        HUB | {"versions": [version(2, "chat", pinned=("chat",), trial_runs=1), version(1, trial_runs=2), version(3)]},
    )
    lines = cli("secret", "show", "hub", "-p", "vision").out.splitlines()
    assert [line.rpartition("ada")[2].strip() for line in lines[-3:]] == [
        "chat (pinned), 1 trial run",
        "2 trial runs",
        "-",
    ]
    assert cli("secret", "show", "hub", "-p", "vision", "--json").json["versions"][0]["services"] == ["chat"]


def test_deleting_asks_first_and_says_who_uses_it(cli: Cli, there: FakeManagerApi) -> None:
    assert cli("secret", "rm", "hub", "-p", "vision").code == 2
    there.on("DELETE", f"{ALL}/hub", None, status=204)
    assert cli("secret", "rm", "hub", "-p", "vision", "--yes").out == "deleted the secret hub of vision\n"
    there.on("DELETE", f"{ALL}/hub", lambda: problem("in-use", 409, detail="secret hub is used by service chat"))
    ran = cli("secret", "rm", "hub", "-p", "vision", "--yes")
    assert (ran.code, "used by service chat" in ran.err) == (1, True)


@pytest.mark.parametrize(("mine", "code"), [({"vision": "owner"}, 0), ({}, 2), ({"a": "owner", "b": "viewer"}, 2)])
def test_without_a_project_the_only_one_is_meant(
    cli: Cli, there: FakeManagerApi, mine: dict[str, str], code: int
) -> None:
    user = {"id": uid(1), "name": "ada", "operator": False, "created_at": NOW}
    there.on("GET", "/v1/whoami", {"user": user, "projects": mine})
    there.on("GET", ALL, {"items": [], "next": None})
    ran = cli("secret", "ls")
    assert ran.code == code, ran.err
    if code:
        assert f"a member of {len(mine)}" in ran.err
