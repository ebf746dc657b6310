"""`headrace folder`: files go up and down whole, several at once, and an upload that broke off goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.cli.errors import CliError
from headrace.cli.transfer import Transfer, downloads, uploads
from headrace.common.contracts.http.folders import FileView
from tests.unit.cli.conftest import Cli
from tests.unit.sdk.standin import NOW, StandIn, problem, uid

FOLDER = {"id": uid(5), "name": "chat", "project_id": uid(2), "usage_mode": "model", "created_at": NOW}
UPLOADS = f"/v1/folders/{uid(5)}/uploads"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "weights").mkdir(parents=True)
    (folder / "model-definition.yaml").write_text("models: []\n")
    (folder / "weights/a.bin").write_bytes(b"a" * 5_000_000)
    (folder / "weights/b.bin").write_bytes(b"b" * 1000)
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture(autouse=True)
def _folder(there: StandIn) -> None:
    there.on("GET", "/v1/folders/chat", FOLDER)


def test_a_directory_goes_up_with_its_content(cli: Cli, there: StandIn, model: Path) -> None:
    ran = cli("folder", "upload", "chat", model)
    assert ran.code == 0, ran.err
    assert there.files == {str(p.relative_to(model)): p.read_bytes() for p in model.rglob("*") if p.is_file()}
    assert "4 files" in ran.out
    assert "4.8 MiB of 4.8 MiB" in ran.err


def test_files_go_where_they_are_told_to(cli: Cli, there: StandIn, model: Path) -> None:
    ran = cli("--json", "folder", "upload", "chat", model / "empty", model / "weights/b.bin", "--to", "/some/where/")
    assert ran.code == 0, ran.err
    assert sorted(there.files) == ["some/where/b.bin", "some/where/empty"]
    assert ran.json == {"folder": "chat", "files": ["some/where/empty", "some/where/b.bin"], "bytes": 1000}
    assert ran.err == ""


def test_a_broken_upload_goes_on_when_the_command_is_run_again(
    cli: Cli, there: StandIn, model: Path, home: Path
) -> None:
    file = model / "weights/a.bin"
    there.faults.extend(["half", "500"])
    broken = cli("folder", "upload", "chat", file)
    assert broken.code == 1
    (upload_id,) = there.uploads
    arrived = len(there.uploads[upload_id].content)
    assert 0 < arrived < 5_000_000
    there.seen.clear()
    ran = cli("folder", "upload", "chat", file)
    assert ran.code == 0, ran.err
    assert ("HEAD", f"{UPLOADS}/{upload_id}") in there.seen
    assert ("POST", UPLOADS) not in there.seen, "no new upload was begun"
    assert there.files == {"a.bin": file.read_bytes()}
    assert json.loads((home / ".local/state/headrace/uploads.json").read_text()) == {}


def test_a_changed_file_is_sent_anew(cli: Cli, there: StandIn, model: Path) -> None:
    file = model / "weights/a.bin"
    there.faults.extend(["half", "500"])
    assert cli("folder", "upload", "chat", file).code == 1
    file.write_bytes(b"c" * 5_000_000)
    assert cli("folder", "upload", "chat", file).code == 0
    assert there.files == {"a.bin": file.read_bytes()}


def test_what_does_not_exist_is_not_begun(cli: Cli, there: StandIn, model: Path, tmp_path: Path) -> None:
    ran = cli("folder", "upload", "chat", model, tmp_path / "nope")
    assert (ran.code, "nope" in ran.err) == (1, True)
    assert there.files == {}
    (tmp_path / "nothing").mkdir()
    assert cli("folder", "upload", "chat", tmp_path / "nothing").code == 1


def test_two_files_may_not_become_one(model: Path) -> None:
    (model / "b.bin").write_bytes(b"")
    with pytest.raises(CliError, match=r"both become b\.bin"):
        uploads([model / "b.bin", model / "weights/b.bin"], "")


def test_everything_comes_down_as_it_lies_there(cli: Cli, there: StandIn, tmp_path: Path) -> None:
    there.files = {"model-definition.yaml": b"models", "weights/a.bin": b"a" * 3_000_000}
    ran = cli("folder", "download", "chat", "--to", tmp_path / "here")
    assert ran.code == 0, ran.err
    found = {
        str(p.relative_to(tmp_path / "here")): p.read_bytes() for p in (tmp_path / "here").rglob("*") if p.is_file()
    }
    assert found == there.files


def test_one_file_comes_down_under_its_name(cli: Cli, there: StandIn, tmp_path: Path) -> None:
    there.files = {"weights/a.bin": b"a", "weights/b.bin": b"b"}
    assert cli("folder", "download", "chat", "weights/a.bin", "--to", tmp_path / "here").code == 0
    assert [p.name for p in (tmp_path / "here").iterdir()] == ["a.bin"]
    ran = cli("folder", "download", "chat", "weights/c.bin", "--to", tmp_path / "here")
    assert (ran.code, "weights/c.bin" in ran.err) == (1, True)


def _file(path: str) -> FileView:
    return FileView.model_validate({"path": path, "kind": "file", "size_bytes": 1, "modified_at": NOW})


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/etc/passwd"])
def test_a_server_cannot_write_outside_of_the_directory(path: str, tmp_path: Path) -> None:
    with pytest.raises(CliError, match="leads out of"):
        downloads([_file(path)], "", tmp_path)


def test_a_directory_comes_down_under_its_own_name(tmp_path: Path) -> None:
    assert downloads([_file("a/b/c")], "a/b", tmp_path) == [Transfer(tmp_path / "b/c", "a/b/c", 1)]


def test_folders_are_made_listed_shown_and_removed(cli: Cli, there: StandIn) -> None:
    there.on("POST", "/v1/folders", FOLDER, status=201)
    there.on("GET", "/v1/folders", {"items": [FOLDER], "next": None})
    there.on("DELETE", "/v1/folders/chat", lambda: problem("in-use", 409))
    assert cli("folder", "create", "chat", "--project", "default", "--usage", "data").code == 0
    assert there.bodies == [{"name": "chat", "project": "default", "usage_mode": "data"}]
    assert uid(5) in cli("folder", "ls").out
    assert cli("--json", "folder", "ls").json[0]["name"] == "chat"
    assert cli("folder", "show", "chat", "--json").json["id"] == uid(5)
    assert cli("folder", "rm", "chat").code == 2, "nobody is there to ask"
    refused = cli("folder", "rm", "chat", "--yes")
    assert (refused.code, "it is in-use" in refused.err) == (1, True)
