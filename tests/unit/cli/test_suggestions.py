"""Names that a shell suggests while one types: those of the server, or the last ones that it told, and never a word of trouble."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from aiohttp import web

from headrace.cli.app import build
from headrace.cli.commands import suggestions
from headrace.cli.docs import commands
from tests.support.fakes.manager_api import NOW, FakeManagerApi, problem, service_view, uid
from tests.support.worlds.cli import Cli

Typing = Callable[[str], list[str]]
OF_KINDS = {
    "SERVICE",
    "FOLDER",
    "PROJECT",
    "AGENT",
    "USER",
    "SIZE",
    "GROUP",
    "RULE_ID",
    "REPLICA",
    "REVISION",
    "SECRET[@VERSION]",
}
"""Values that are names of things that the server has."""
NEW_OR_HERE = {
    "headrace folder restore folder",
    "headrace folder purge folder",
    "headrace store run name",
    "headrace resource-group create name",
    "headrace systemd install service",
    "headrace systemd uninstall service",
}
"""Names of what is made, of what is in the trash, and of this machine's units."""


@pytest.fixture
def typing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Typing:
    """Return what bash is told for a line, at its end, by one who is logged in."""

    def suggested(line: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        monkeypatch.setenv("_HEADRACE_COMPLETE", "complete_bash")
        ran = cli()
        assert (ran.code, ran.err) == (0, "")
        return ran.out.split()

    return suggested


def _project(name: str) -> dict[str, Any]:
    return {"id": uid(3), "name": name, "description": "", "quota": {}, "created_at": NOW}


def _secret(name: str) -> dict[str, Any]:
    return {
        "id": uid(4),
        "name": name,
        "version": 1,
        "created_by": "ann",
        "created_at": NOW,
        "updated_by": "ann",
        "updated_at": NOW,
    }


def _page(*items: Any) -> dict[str, Any]:
    return {"items": items, "next": None}


def test_services_that_begin_with_what_is_typed_are_suggested(there: FakeManagerApi, typing: Typing) -> None:
    there.on("GET", "/v1/services", _page(service_view("echo"), service_view("echo-2"), service_view("my-echo")))
    assert typing("headrace service show ec") == ["echo", "echo-2"]
    assert "q=ec" in there.seen[-1][1], "the server looks for them, not the shell"


def test_names_of_the_last_time_are_suggested_while_the_server_is_away(
    there: FakeManagerApi, typing: Typing, home: Path
) -> None:
    there.on("GET", "/v1/services", _page(service_view("echo"), service_view("talk")))
    assert typing("headrace service show ") == ["echo", "talk"]
    kept = home / ".cache/headrace/names.json"
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    there.on("GET", "/v1/services", lambda: problem("unavailable", 503))
    assert typing("headrace service show t") == ["talk"]
    there.on("GET", "/v1/services", _page(service_view("tell")))
    assert typing("headrace service show t") == ["tell"], "those that are gone are forgotten"
    there.on("GET", "/v1/services", lambda: problem("unavailable", 503))
    assert typing("headrace service show ") == ["echo", "tell"], "others are kept"


def test_names_are_of_one_login(there: FakeManagerApi, typing: Typing, monkeypatch: pytest.MonkeyPatch) -> None:
    there.on("GET", "/v1/services", _page(service_view("echo")))
    assert typing("headrace service show ") == ["echo"]
    monkeypatch.setenv("HEADRACE_API_KEY", "another")
    assert typing("headrace service show ") == []


def test_a_server_that_takes_its_time_is_not_waited_for(
    there: FakeManagerApi, typing: Typing, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.on("GET", "/v1/services", _page(service_view("echo")))
    assert typing("headrace service show ") == ["echo"]
    monkeypatch.setattr(suggestions, "LIMIT_S", 0.2)
    asked = threading.Event()

    def endless() -> web.Response:
        asked.set()
        return web.json_response({**_page(), "next": str(len(there.seen))})  # a page after the other, each at once

    there.on("GET", "/v1/services", endless)
    assert typing("headrace service show ") == ["echo"]
    assert asked.is_set()


def test_secrets_are_those_of_the_project_that_is_named_or_meant(
    there: FakeManagerApi, typing: Typing, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.on("GET", "/v1/projects", _page(_project("only")))
    for project in ("only", "meant", "named"):
        there.on("GET", f"/v1/projects/{project}/secrets", _page(_secret(f"of-{project}")))
    assert typing("headrace secret show ") == ["of-only"]
    monkeypatch.setenv("HEADRACE_PROJECT", "meant")
    assert typing("headrace secret show ") == ["of-meant"]
    assert typing("headrace secret show --project named ") == ["of-named"]


def test_replicas_are_those_of_the_service_that_is_named(there: FakeManagerApi, typing: Typing) -> None:
    there.on("GET", "/v1/services/echo/revisions", lambda: problem("unavailable", 503))
    there.on("GET", "/v1/services/echo", service_view("echo"))
    assert typing("headrace service replace echo ") == []
    assert there.seen[-1] == ("GET", "/v1/services/echo")
    assert typing("headrace service rollback echo ") == []


@pytest.mark.parametrize("words", ["service show", "folder show", "store show", "project show", "agent show"])
def test_whatever_goes_wrong_nothing_is_suggested_and_nothing_is_said(
    words: str, there: FakeManagerApi, typing: Typing, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    assert typing(f"headrace {words} a") == []
    assert len(there.seen) == 1, "one try: somebody waits for it"
    (home / ".cache/headrace").mkdir(parents=True)
    (home / ".cache/headrace/names.json").write_text("no JSON")
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:1")
    assert typing(f"headrace {words} a") == []
    monkeypatch.setenv("HEADRACE_URL", "not a url")
    assert typing(f"headrace {words} a") == []


def test_logging_out_forgets_the_names(there: FakeManagerApi, typing: Typing, cli: Cli, home: Path) -> None:
    there.on("GET", "/v1/services", _page(service_view("echo")))
    assert typing("headrace service show ") == ["echo"]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("_HEADRACE_COMPLETE")
        assert cli("logout").code == 0
    assert not (home / ".cache/headrace/names.json").exists()


def test_every_value_that_is_a_name_of_something_is_completed() -> None:
    missing = [
        f"{name} {parameter.name}"
        for name, command in commands(typer.main.get_command(build()), "headrace")
        for parameter in command.params
        if parameter.metavar in OF_KINDS and parameter._custom_shell_complete is None
        if parameter.type_descriptor.annotation is not Path and f"{name} {parameter.name}" not in NEW_OR_HERE
    ]
    assert missing == []
