"""Names that a shell suggests while one types: those of the server, or none, and never a word of trouble."""

from __future__ import annotations

import pytest

from headrace.cli.commands.suggestions import complete_folder, complete_model, complete_service
from tests.support.fakes.manager_api import FakeManagerApi, problem, service_view
from tests.support.worlds.cli import Cli


@pytest.fixture
def quiet(cli: Cli, capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    """What is printed by one who is logged in."""
    return capsys


def test_services_that_begin_with_what_is_typed_are_suggested(
    there: FakeManagerApi, quiet: pytest.CaptureFixture[str]
) -> None:
    there.on("GET", "/v1/services", {"items": [service_view("echo"), service_view("echo-2"), service_view("my-echo")]})
    assert complete_service("ec") == ["echo", "echo-2"]
    assert "q=ec" in there.seen[-1][1], "the server looks for them, not the shell"
    assert quiet.readouterr() == ("", "")


@pytest.mark.parametrize("complete", [complete_service, complete_folder, complete_model])
def test_whatever_goes_wrong_nothing_is_suggested_and_nothing_is_said(
    complete: object, there: FakeManagerApi, quiet: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(complete)
    for path in ("/v1/services", "/v1/folders", "/v1/models"):
        there.on("GET", path, lambda: problem("unavailable", 503))
    assert complete("a") == []
    assert len(there.seen) == 1, "one try: somebody waits for it"
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:1")
    assert complete("a") == []
    monkeypatch.setenv("HEADRACE_URL", "not a url")
    assert complete("a") == []
    assert quiet.readouterr() == ("", "")
