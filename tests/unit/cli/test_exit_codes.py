"""Each way to end, and what is said then."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_core import SchemaError, SchemaSerializer, core_schema

from headrace.cli import __main__ as entry
from headrace.cli import session
from headrace.cli.errors import EXIT_CODES, ExitCode
from headrace.cli.failures import ended_by_signal
from tests.support.fakes.manager_api import KEY, FakeManagerApi, problem, service_view
from tests.support.worlds.cli import Cli


def test_what_succeeds_ends_with_0(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services/echo", service_view())
    ran = cli("service", "show", "echo")
    assert (ran.code, ran.err) == (0, "")


def test_a_refusal_names_every_wrong_field_with_what_was_found_and_what_is_allowed(
    cli: Cli, there: FakeManagerApi
) -> None:
    wrong = [{"field": "slots.cpu", "found": "99", "allowed": "at most 8"}]
    there.on("POST", "/v1/services", lambda: problem("invalid-request", 422, errors=wrong))
    ran = cli("service", "create", "echo", "--slot", "cpu=99")
    assert ran.code == 1
    assert ran.err.splitlines()[1:3] == ['  slots.cpu: found "99"', "    allowed: at most 8"]
    assert ran.out == ""


def test_json_errors_are_objects_on_standard_error(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services/echo", lambda: problem("not-found", 404))
    ran = cli("service", "show", "echo", "--json")
    said = json.loads(ran.err)
    assert (ran.code, ran.out) == (1, "")
    assert (said["exit_code"], said["status"], said["detail"]) == (1, 404, "it is not-found")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["service"],
        ["service", "ls", "--nonsense"],
        ["service", "scale", "echo", "many"],
        ["token", "create", "x", "--expires", "soon"],
    ],
)
def test_wrong_usage_ends_with_2(cli: Cli, words: list[str]) -> None:
    ran = cli(*words)
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_an_option_of_another_command_is_refused_with_that_commands_name(cli: Cli) -> None:
    ran = cli("service", "update", "echo", "--max-queued", "3")
    assert ran.code == 2
    assert "No such option: --max-queued; it is an option of: headrace service traffic" in ran.err
    assert "it is an option of" not in cli("service", "show", "echo", "--of-no-command").err


def test_a_wrong_value_is_found_before_anything_is_sent(cli: Cli, there: FakeManagerApi) -> None:
    ran = cli("service", "create", "Bad_Name", "--replicas", "-1")
    assert ran.code == 2
    assert 'name: found "Bad_Name"' in ran.err
    assert "replicas: found -1" in ran.err
    assert there.seen == []


def test_no_server_ends_with_3(bare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:  # bound, not listening
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HEADRACE_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("HEADRACE_API_KEY", KEY)
        monkeypatch.setattr("headrace.cli.session.PATIENCE_S", 0)
        ran = bare("service", "ls")
    assert ran.code == 3
    assert "hint: does it run, and at this address?" in ran.err


def test_a_wrong_key_ends_with_4_and_is_not_printed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_API_KEY", "hr_00_wrong-secret")
    ran = cli("whoami")
    assert ran.code == 4
    assert "headrace login" in ran.err
    assert "wrong-secret" not in ran.err + ran.out


def test_not_allowed_ends_with_4(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/users", lambda: problem("forbidden", 403))
    assert cli("user", "ls").code == 4


def test_not_logged_in_ends_with_4_and_says_how(bare: Cli) -> None:
    ran = bare("service", "ls")
    assert ran.code == 4
    assert "headrace login --url URL" in ran.err


def test_waiting_for_what_failed_ends_with_5_the_reason_and_the_log(cli: Cli, there: FakeManagerApi) -> None:
    there.log_lines = [b"2026-01-01T12:00:00Z CUDA out of memory\n"]
    there.on("GET", "/v1/services/echo", service_view(phase="failed"))
    ran = cli("service", "wait", "echo")
    assert ran.code == 5
    assert "it is failed" in ran.err
    assert "| 2026-01-01T12:00:00Z CUDA out of memory" in ran.err


def test_waiting_too_long_ends_with_5(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services/echo", service_view())
    ran = cli("service", "wait", "echo", "--timeout", "1")
    assert ran.code == 5
    assert "not within 1 s" in ran.err


def test_interrupting_ends_with_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_words: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "build", lambda: interrupted)
    assert cli("whoami").code == 130


def test_a_reader_that_leaves_is_no_error_worth_a_traceback(home: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "headrace.cli", "completion", "bash"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "HOME": str(home)},
    )
    assert program.stdout is not None
    program.stdout.close()
    _, err = program.communicate(timeout=60)
    assert err == b""


def test_every_code_is_documented(bare: Cli) -> None:
    assert set(EXIT_CODES) == set(ExitCode)
    text = bare("--help").out
    for code, meaning in EXIT_CODES.items():
        assert f"{int(code)} " in text
        assert meaning in text


@pytest.mark.parametrize(("words", "code"), [(["status"], 3), (["version"], 0), (["login", "--key", KEY], 3)])
def test_whether_a_server_is_there_is_said_soon_where_it_takes_connections_and_answers_nothing(
    bare: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    monkeypatch.setattr(session, "ANSWER_S", 600.0)  # the bound of all other commands is not this one's
    monkeypatch.setattr(session, "THERE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("HEADRACE_URL", url)
        monkeypatch.setenv("HEADRACE_API_KEY", KEY)
        ran = bare(*words, *(["--url", url] if words[0] == "login" else []))
    assert (ran.code, "the answer did not come" in ran.err + ran.out) == (code, True)


def test_a_refusal_of_a_creation_says_all_that_is_wrong(cli: Cli, there: FakeManagerApi) -> None:
    wrong = [
        {"field": "folder", "type": "not-found", "detail": "there is no folder gone"},
        {"field": "folder", "file": "a.yaml", "path": "models[0].port", "found": 0, "allowed": "1 or more"},
        {"field": "name", "found": "x", "allowed": "another name"},
    ]
    there.on("POST", "/v1/services", lambda: problem("name-taken", 409, errors=wrong))
    ran = cli("service", "create", "echo", "--folder", "gone")
    assert ran.err.splitlines()[:6] == [
        "error: Name-Taken",
        "  folder: there is no folder gone",
        "  a.yaml: models[0].port: found 0",
        "    allowed: 1 or more",
        '  name: found "x"',
        "    allowed: another name",
    ]


def test_what_a_server_found_and_allows_is_said_once(cli: Cli, there: FakeManagerApi) -> None:
    detail = "quota.cpu: found -1; allowed: 0 and more"
    errors = [{"field": "quota.cpu", "found": -1, "allowed": "0 and more"}]
    there.on("POST", "/v1/projects", lambda: problem("invalid-request", 400, errors=errors, detail=detail))
    assert cli("project", "create", "blue").err.count("0 and more") == 1
    assert json.loads(cli("project", "create", "blue", "--json").err)["detail"] == detail


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_comes_while_a_model_is_made_ends_the_command_as_anywhere_else(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    class Signalled:
        def __repr__(self) -> str:  # pydantic asks for it in between
            signal.raise_signal(number)
            return "not raised"

    def command(**_given: object) -> None:
        SchemaSerializer(core_schema.literal_schema([Signalled()]))

    monkeypatch.setattr(entry, "build", lambda: command)
    ran = cli("whoami")
    assert (ran.code, ran.err) == (code, "interrupted\n" if number == signal.SIGINT else "")


def test_a_model_that_cannot_be_made_is_no_signal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(**_given: object) -> None:
        raise SchemaError("Error building `literal` serializer:\n  SystemExit: 143")

    monkeypatch.setattr(entry, "build", lambda: command)
    with pytest.raises(SchemaError):
        cli("whoami")


def test_an_error_after_a_signal_that_was_handled_is_that_error() -> None:
    assert ended_by_signal(ValueError("no"), signal.SIGTERM) is None
