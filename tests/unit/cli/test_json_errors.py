"""With `--json` every error of every command is one JSON object on standard error, also one about the command line itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer

from headrace.cli import __main__ as entry
from headrace.cli.app import build
from headrace.cli.docs import commands
from tests.support.fakes.manager_api import uid
from tests.support.worlds.cli import Cli

TREE = dict(commands(typer.main.get_command(build()), "headrace"))
HERE = {
    "up",
    "down",
    "status",
    "init",
    "systemd",
    "login",
    "logout",
    "migrate",
    "restore",
    "backup",
    "completion",
    "version",
}
"""Commands that act on this machine, or end well without a server."""
ALONE = {"headrace project use"}
"""Commands that need no server as they are called here."""
VALUES = {"UUID": uid(9), "int": "1", "Path": "no-such-file", "DefinitionKind": "model-definition"}


def error_of(ran: Any) -> dict[str, Any]:
    """Return the one error on standard error."""
    found: dict[str, Any] = json.loads(ran.err)
    assert found["exit_code"] == ran.code
    assert found["type"]
    return found


@pytest.mark.parametrize("name", TREE)
def test_an_option_that_no_command_has(bare: Cli, name: str) -> None:
    said = error_of(bare(*name.split()[1:], "--json", "--of-no-command"))
    assert said["exit_code"] == 2
    assert "--of-no-command" in said["detail"]
    assert said["hint"] == f"{name} --help"


@pytest.mark.parametrize("name", [name for name in TREE if name.split()[1] not in HERE and name not in ALONE])
def test_a_server_that_refuses(cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("HEADRACE_API_KEY", "hr_00_wrong-secret")
    monkeypatch.setattr("sys.stdin.readline", lambda: "a secret", raising=False)
    ran = cli(*name.split()[1:], *_needed(TREE[name]), "--json")
    assert ran.code in {1, 2, 4}, ran
    assert error_of(ran)["detail"]


def _needed(command: Any) -> list[str]:
    """Return what the command needs, and that it shall not ask."""
    words: list[str] = []
    for parameter in command.params:
        if "--yes" in parameter.opts:
            words.append("--yes")
        elif parameter.required:
            kind = parameter.type_descriptor.annotation
            value = VALUES.get(getattr(kind, "__name__", ""), "KEY=VALUE" if parameter.nargs == -1 else "something")
            words += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    return words


@pytest.mark.parametrize(
    "words",
    [
        ["--json"],
        ["--json", "service"],
        ["nonsense", "--json"],
        ["--json", "token", "create", "x", "--expires", "soon"],
    ],
)
def test_a_line_that_is_no_command(cli: Cli, words: list[str]) -> None:
    assert error_of(cli(*words))["type"] == "usage"


def test_an_interrupt(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_words: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "build", lambda: interrupted)
    assert error_of(cli("whoami", "--json"))["detail"] == "interrupted"


def test_a_question_that_is_answered_with_no(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.cli.commands.flags.interactive", lambda *_: True)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: (_ for _ in ()).throw(typer.Abort))
    assert error_of(cli("service", "rm", "echo", "--json"))["type"] == "aborted"


def test_json_as_a_word_of_a_command_asks_for_none(bare: Cli) -> None:
    assert bare("service", "ls", "--of-no-command", "--", "--json").err.startswith("Usage: ")
