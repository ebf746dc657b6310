"""`headrace audit`: what is asked, and what is shown."""

from __future__ import annotations

from typing import Any, cast

import typer
from aiohttp import web

from headrace.cli.app import build
from tests.support.fakes.manager_api import NOW, FakeManagerApi, uid
from tests.support.worlds.cli import Cli

ENTRY: dict[str, Any] = {
    "id": uid(1),
    "at": NOW,
    "actor": "ada",
    "source_address": "10.0.0.9",
    "action": "agent.cordoned",
    "project_id": None,
    "project": None,
    "service_id": None,
    "service": None,
    "message": "new disks",
    "details": {"agent": "gpu-1", "note": "x" * 100},
}


def test_changes_are_listed_with_who_and_from_where(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/audit", {"items": [ENTRY, ENTRY], "next": None})
    ran = cli("audit", "--agent", "gpu-1", "--action", "agent.*", "--since", "2026-11-30", "-n", "1")
    for word in ("ada", "10.0.0.9", "agent.cordoned", "new disks", "agent=gpu-1", "…"):
        assert word in ran.out
    assert ran.out.count("gpu-1") == 1
    method, path = there.seen[-1]
    assert method == "GET"
    assert "agent=gpu-1&action=agent.%2A" in path
    assert "since=2026-11-30T00%3A00%3A00%2B00%3A00" in path
    assert len(cli("audit", "--json").json) == 2


def test_a_time_that_is_none_is_refused_before_anything_is_sent(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/audit", {"items": [], "next": None})
    assert cli("audit", "--since", "24h").code == 0
    asked = len(there.seen)
    ran = cli("audit", "--until", "soon")
    assert ran.code == 2
    assert "--until soon: found neither a duration nor a date" in ran.err
    assert len(there.seen) == asked


def test_one_change_is_shown_with_what_it_changed_from_what_to_what(cli: Cli, there: FakeManagerApi) -> None:
    shown = ENTRY | {
        "action": "service.updated",
        "key_id": uid(7),
        "key": "ci",
        "before": {"replicas": 1, "spec": {"environ": {"MODE": "slow"}}, "endpoint_port": None, "tags": {}},
        "after": {"replicas": 3, "spec": {"environ": {"MODE": "fast\x1b[31m", "NEW": "1"}}, "endpoint_port": 9000},
    }
    there.on("GET", f"/v1/audit/{uid(1)}", shown)
    ran = cli("audit", "--show", uid(1))
    for line in (
        "by       key ci",
        "message  new disks",
        "replicas: 1 -> 3",
        "spec.environ.NEW: (none) -> 1",
        "endpoint_port: (none) -> 9000",
    ):
        assert line in ran.out
    assert "spec.environ.MODE: slow -> fast" in ran.out
    assert "\x1b" not in ran.out
    assert "tags" not in ran.out
    assert cli("audit", "--show", uid(1), "--json").json["after"]["replicas"] == 3
    there.on("GET", f"/v1/audit/{uid(2)}", ENTRY | {"before": {}, "after": {}})
    assert "no setting differs" in cli("audit", "--show", uid(2)).out
    assert cli("audit", "--show", uid(1), "--csv").code == 2


def test_as_csv_the_files_of_several_answers_are_one(cli: Cli, there: FakeManagerApi) -> None:
    def piece(*lines: str) -> web.Response:
        return web.Response(body="".join(f"{line}\r\n" for line in lines).encode(), content_type="text/csv")

    there.on(
        "GET", "/v1/audit", lambda: piece("id,actor", "1,ada", f"more,{uid(9)}"), lambda: piece("id,actor", "2,bob")
    )
    ran = cli("audit", "--csv", "--action", "agent.*")
    assert ran.out.split() == ["id,actor", "1,ada", "2,bob"]
    assert [f"cursor={uid(9)}" in path for _, path in there.seen] == [False, True]
    assert all("format=csv" in path and "action=agent.%2A" in path for _, path in there.seen)
    ran = cli("audit", "--csv", "--limit", "5")
    assert (ran.code, "--csv: found --limit" in ran.err) == (2, True)


def test_a_message_goes_with_every_change_of_a_command(cli: Cli, there: FakeManagerApi) -> None:
    there.on("DELETE", "/v1/resource-groups/a100", None, status=204)
    assert cli("resource-group", "rm", "a100", "--yes", "-m", "sold, für immer").code == 0
    assert there.headers[-1]["X-Headrace-Message"] == "sold, für immer"
    assert cli("resource-group", "rm", "a100", "--yes").code == 0
    assert "X-Headrace-Message" not in there.headers[-1]
    ran = cli("resource-group", "rm", "a100", "--yes", "-m", "a\nb")
    assert (ran.code, "message: found characters that are not printable" in ran.err) == (2, True)


READING = frozenset(
    {
        "audit",
        "backup",
        "callers",
        "metrics",
        "top",
        "cat",
        "trash",
        "check",
        "completion",
        "console",
        "decisions",
        "down",
        "download",
        "errors",
        "events",
        "files",
        "history",
        "init",
        "invitations",
        "install",
        "keys",
        "login",
        "logins",
        "logout",
        "logs",
        "ls",
        "manifest",
        "members",
        "migrate",
        "receipts",
        "restore",
        "revisions",
        "schema",
        "search",
        "shares",
        "show",
        "status",
        "targets",
        "uninstall",
        "up",
        "uploads",
        "usage",
        "use",
        "version",
        "wait",
        "whoami",
    }
)
"""Commands that change nothing over the API in a user's name, but for logins."""


def test_every_command_that_changes_something_takes_a_message() -> None:
    root = cast("Any", typer.main.get_group(build()))
    for name in root.list_commands(None):
        found = root.get_command(None, name)
        group = (
            {name: found}
            if not hasattr(found, "list_commands")
            else {inner: found.get_command(None, inner) for inner in found.list_commands(None)}
        )
        for inner, command in group.items():
            has = any("--message" in parameter.opts for parameter in command.params)
            assert has == (inner not in READING or (name, inner) == ("folder", "restore")), f"{name} {inner}"
