"""`headrace token` and `headrace client`: whose they are, limits, secrets that are shown once, and how to call."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from tests.support.fakes.manager_api import NOW, FakeManagerApi, problem, service_view, uid
from tests.support.worlds.cli import Cli

TOKEN = {"id": uid(1), "name": "app", "created_by": "ada", "created_at": NOW, "expires_at": NOW, "revoked_at": None}
CLIENT: dict[str, Any] = {
    "id": uid(2),
    "name": "robot",
    "limits": {"in_flight": 3, "requests_per_second": 0.5},
    "share": 2,
    "created_by": "ada",
    "created_at": NOW,
    "rotated_at": None,
}
CLIENTS = "/v1/services/echo/clients"


def revocation(which: str, *, in_force: bool) -> dict[str, Any]:
    away = {"code": "app-proxy-away", "text": "it has not reported for 12 s"}
    missing = [] if in_force else [{"proxy_id": "proxy-b", "heard_s": 12, "reason": away}]
    reason = {
        "code": "in-force" if in_force else "not-in-force",
        "text": f"in force at {2 - len(missing)} of 2 app-proxies",
    }
    return {"id": which, "in_force": in_force, "applied": ["proxy-a"], "missing": missing, "reason": reason}


def test_a_client_is_made_with_the_line_that_calls(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services/echo", service_view(endpoint="http://proxy.example:8000/echo"))
    there.on("POST", CLIENTS, CLIENT | {"secret": "hrc_s-e_cret"}, status=201)
    ran = cli("client", "create", "echo", "robot", "--in-flight", 3, "--requests-per-second", 0.5, "--share", 2)
    assert ran.code == 0, ran.err
    assert there.bodies == [{"name": "robot", "limits": {"in_flight": 3, "requests_per_second": 0.5}, "share": 2}]
    line = next(line for line in ran.out.splitlines() if "curl" in line).partition("curl")[2]
    assert shlex.split(line) == ["-u", "robot:hrc_s-e_cret", "http://proxy.example:8000/echo/"]
    assert "not shown again" in ran.err
    assert "hrc_" not in ran.err
    assert cli("client", "create", "echo", "robot", "--json").json["secret"] == "hrc_s-e_cret"


def test_rotating_asks_first_and_shows_the_new_secret(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services/echo", service_view())
    there.on("POST", f"{CLIENTS}/robot/rotate", CLIENT | {"secret": "hrc_new"})
    assert cli("client", "rotate", "echo", "robot").code == 2
    there.on("GET", f"/v1/services/echo/revocations/{uid(2)}", revocation(uid(2), in_force=True))
    ran = cli("client", "rotate", "echo", "robot", "--yes")
    assert "robot:hrc_new" in ran.out
    assert "the old secret: in force at 2 of 2 app-proxies" in ran.err


def test_no_secret_is_made_that_could_not_be_shown(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services/echo", lambda: problem("not-found", 404, detail="there is no service echo"))
    assert cli("client", "create", "echo", "robot").code != 0
    assert there.bodies == []


def test_clients_are_listed_changed_and_ended(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", CLIENTS, {"items": [CLIENT], "next": None})
    assert "0.5/s, 3 at once" in cli("client", "ls", "echo").out
    there.on("PATCH", f"{CLIENTS}/robot", CLIENT)
    assert cli("client", "update", "echo", "robot", "--unlimited", "--tokens-per-day", 10).code == 0
    none = dict.fromkeys(("requests_per_second", "in_flight", "tokens_per_minute"))
    assert there.bodies == [{"limits": {**none, "tokens_per_day": 10}}]
    assert cli("client", "update", "echo", "robot").code == 2
    there.on("DELETE", f"{CLIENTS}/robot", revocation(uid(2), in_force=True))
    assert cli("client", "rm", "echo", "robot").code == 2
    ran = cli("client", "rm", "echo", "robot", "-y")
    assert ran.out == "the client robot of echo is ended; in force at 2 of 2 app-proxies\n"


@pytest.mark.parametrize(("words", "path"), [(["echo"], "/v1/services/echo"), (["--project", "p"], "/v1/projects/p")])
def test_tokens_of_a_service_or_a_project(cli: Cli, there: FakeManagerApi, words: list[str], path: str) -> None:
    there.on("POST", f"{path}/tokens", TOKEN | {"token": "ey"}, status=201)
    assert "ey" in cli("token", "create", *words, "--tokens-per-minute", 100).out
    there.on("GET", f"{path}/tokens", {"items": [TOKEN | {"limits": {"tokens_per_minute": 100}}], "next": None})
    assert "100 tokens/min" in cli("token", "ls", *words).out
    there.on("PATCH", f"{path}/tokens/{uid(1)}", TOKEN | {"share": 3})
    assert cli("token", "update", *words, uid(1), "--share", 3).code == 0
    assert there.bodies == [{"name": "", "limits": {"tokens_per_minute": 100}}, {"share": 3}]
    there.on("DELETE", f"{path}/tokens/{uid(1)}", revocation(uid(1), in_force=False))
    there.on(
        "GET", f"{path}/revocations/{uid(1)}", revocation(uid(1), in_force=False), revocation(uid(1), in_force=True)
    )
    ran = cli("token", "revoke", *words, uid(1))
    assert (ran.code, ran.out) == (0, f"the token {uid(1)} is revoked; in force at 2 of 2 app-proxies\n")


def test_a_revocation_that_is_not_in_force_in_time_is_said_where_and_why(
    cli: Cli, there: FakeManagerApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.cli.commands.in_force.WAIT_S", 0.0)
    there.on("DELETE", f"/v1/services/echo/tokens/{uid(1)}", revocation(uid(1), in_force=False))
    there.on("GET", f"/v1/services/echo/revocations/{uid(1)}", revocation(uid(1), in_force=False))
    ran = cli("token", "revoke", "echo", uid(1))
    assert (ran.code, ran.out) == (5, "")
    assert "is revoked; not in force everywhere yet: in force at 1 of 2 app-proxies" in ran.err
    assert "proxy-b: it has not reported for 12 s" in ran.err
    ran = cli("token", "revoke", "echo", uid(1), "--no-wait")
    assert ran.code == 0
    assert "proxy-b: it has not reported for 12 s" in ran.out
    assert cli("token", "revoke", "echo", uid(1), "--no-wait", "--json").json["missing"][0]["proxy_id"] == "proxy-b"


@pytest.mark.parametrize(
    "words",
    [
        ["create"],
        ["create", "echo", "--project", "p"],
        ["ls"],
        ["revoke", uid(1)],
        ["revoke", "echo", "x"],
        ["revoke", "echo", "x", uid(1)],
        ["revoke", "echo", uid(1), "--project", "p"],
        ["update", "echo", uid(1)],
        ["create", "echo", "--requests-per-second", "0"],
        ["create", "echo", "--requests-per-second", "nan"],
        ["create", "echo", "--in-flight", "0"],
        ["create", "echo", "--share", "1001"],
    ],
)
def test_words_that_are_refused(cli: Cli, words: list[str]) -> None:
    ran = cli("token", *words)
    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err
