"""`headrace folder check|schema`: definition files, saved or local."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.fakes.manager_api import FakeManagerApi
from tests.support.worlds.cli import Cli

CHECK = "/v1/folders/chat/check"
RIGHT: dict[str, Any] = {
    "path": "model-definition.yaml",
    "kind": "model-definition",
    "valid": True,
    "names": ["owl", "eagle"],
    "problems": [],
}
WRONG = RIGHT | {
    "valid": False,
    "names": [],
    "problems": [
        {"path": "models[0].service.port", "line": 7, "column": 13, "found": "0", "allowed": "1 or more"},
        {"path": "(file)", "line": None, "column": None, "found": "x", "allowed": "y"},
    ],
}


def test_a_file_of_the_folder_or_a_local_one_is_checked(cli: Cli, there: FakeManagerApi, tmp_path: Path) -> None:
    there.on("POST", CHECK, RIGHT, WRONG, WRONG)
    ran = cli("folder", "check", "chat")
    assert (ran.code, ran.out.strip()) == (0, "model-definition.yaml is right; models: owl, eagle"), ran.err
    (tmp_path / "mine.yaml").write_text("models: []\n")
    ran = cli("folder", "check", "chat", "other.yaml", "--local", tmp_path / "mine.yaml")
    assert ran.code == 1
    assert ran.out.splitlines() == [
        "model-definition.yaml: 2 problems",
        "  7:13: models[0].service.port: found 0",
        "    allowed: 1 or more",
        "  (file): found x",
        "    allowed: y",
    ]
    assert there.bodies == [{"path": "model-definition.yaml"}, {"path": "other.yaml", "text": "models: []\n"}]
    ran = cli("folder", "check", "chat", "--json")
    assert (ran.code, ran.json) == (1, WRONG)


def test_a_local_file_that_is_no_text_is_not_sent(cli: Cli, there: FakeManagerApi, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff")
    assert cli("folder", "check", "chat", "--local", tmp_path / "mine.yaml").code == 2
    assert there.bodies == []


def test_a_schema_is_printed(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/schemas/model-definition", {"title": "model-definition"})
    assert cli("folder", "schema", "model-definition").json == {"title": "model-definition"}
