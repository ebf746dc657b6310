"""The project that commands mean where none is given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.cli.config import Config
from tests.support.fakes.manager_api import KEY, NOW, FakeManagerApi, uid
from tests.support.worlds.cli import Cli

FOLDER = {
    "id": uid(2),
    "name": "chat",
    "project": "blue",
    "project_id": uid(1),
    "usage_mode": "model",
    "created_by": "ada",
    "created_at": NOW,
}


OTHER = "hr_00000000000000000000000000000002_another"


@pytest.fixture
def blue(there: FakeManagerApi) -> FakeManagerApi:
    there.on(
        "GET", "/v1/projects/blue", {"id": uid(1), "name": "blue", "description": "", "quota": {}, "created_at": NOW}
    )
    there.on("POST", "/v1/folders", FOLDER, status=201)
    return there


def test_without_a_choice_the_server_decides(cli: Cli, blue: FakeManagerApi) -> None:
    assert cli("folder", "create", "chat").code == 0
    assert blue.bodies[-1] == {"name": "chat", "usage_mode": "model"}


def test_the_chosen_project_is_meant_until_another_is_named_or_it_is_unset(cli: Cli, blue: FakeManagerApi) -> None:
    assert cli("project", "use", "blue", "--json").json["project"] == "blue"
    assert cli("project", "use", "--json").json["project"] == "blue"
    cli("folder", "create", "chat")
    assert blue.bodies[-1]["project"] == "blue"
    cli("folder", "create", "chat", "-p", "red")
    assert blue.bodies[-1]["project"] == "red"
    assert cli("project", "use", "--unset").code == 0
    cli("folder", "create", "chat")
    assert "project" not in blue.bodies[-1]


def test_the_environment_wins_over_the_choice(cli: Cli, blue: FakeManagerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("project", "use", "blue")
    monkeypatch.setenv("HEADRACE_PROJECT", "green")
    cli("folder", "create", "chat")
    assert blue.bodies[-1]["project"] == "green"


def test_a_project_that_is_not_there_is_not_chosen(cli: Cli, there: FakeManagerApi) -> None:
    assert cli("project", "use", "nowhere").code == 1
    assert cli("project", "use", "--json").json["project"] is None


def test_a_file_that_cannot_be_read_is_named_and_written_anew_by_the_next_choice(
    cli: Cli, blue: FakeManagerApi, home: Path
) -> None:
    file = home / ".config/headrace/defaults.json"
    file.parent.mkdir(parents=True)
    file.write_text("nonsense")
    refused = cli("folder", "create", "chat")
    assert refused.code == 1
    assert str(file) in refused.err
    assert cli("project", "use", "blue").code == 0
    cli("folder", "create", "chat")
    assert blue.bodies[-1]["project"] == "blue"


def test_the_choice_is_of_the_server_and_the_key(cli: Cli, blue: FakeManagerApi, home: Path) -> None:
    file = home / ".config/headrace/defaults.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"projects": {blue.url: "old"}}))  # as earlier versions wrote it: for every key
    config = Config()

    def meant() -> tuple[str | None, str | None]:
        return config.project(blue.url, KEY), config.project(blue.url, OTHER)

    assert meant() == ("old", "old")
    cli("project", "use", "blue")
    assert meant() == ("blue", "old")
    cli("folder", "create", "chat")
    assert blue.bodies[-1]["project"] == "blue"
    config.use_project(blue.url, OTHER, "red")
    assert meant() == ("blue", "red")
    cli("project", "use", "--unset")
    assert meant() == (None, "red")
    config.use_project(blue.url, OTHER, None)
    assert meant() == (None, None)
    assert KEY not in file.read_text()
    assert json.loads(file.read_text())["projects"][blue.url] == "old"
    file.write_text("{}")
    config.use_project(blue.url, KEY, "blue")
    config.use_project(blue.url, KEY, None)
    assert json.loads(file.read_text()) == {"projects": {}}


def test_a_folder_is_shown_with_its_project_s_name(cli: Cli, blue: FakeManagerApi) -> None:
    assert "blue" in cli("folder", "create", "chat").out
    before = {name: value for name, value in FOLDER.items() if name != "project"}
    blue.on("POST", "/v1/folders", before, status=201)  # by a manager of an earlier version, which does not tell it
    assert uid(1) in cli("folder", "create", "chat").out  # who may not see the project: its id
    blue.on(
        "GET",
        f"/v1/projects/{uid(1)}",
        {"id": uid(1), "name": "blue", "description": "", "quota": {}, "created_at": NOW},
    )
    shown = cli("folder", "create", "chat").out
    assert "blue" in shown
    assert uid(1) not in shown
