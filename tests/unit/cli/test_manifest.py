"""What a revision pins, on the command line: manifests, whether the folder has changed, and how its files are rolled out."""

from __future__ import annotations

import hashlib

from headrace.common.contracts.manifest import FolderManifest, ManifestFile
from tests.support.fakes.manager_api import NOW, FakeManagerApi, problem, service_view, uid
from tests.support.worlds.cli import Cli
from tests.unit.cli.test_service import EFFECTIVE

ECHO = "/v1/services/echo"
DIGEST = hashlib.sha256(b"x" * 2048).hexdigest()
MANIFEST = FolderManifest.of([ManifestFile(path="weights/a.bin", size_bytes=2048, sha256=DIGEST)])


def test_a_manifest_lists_files_with_their_digests(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/folders/chat/manifest", MANIFEST.model_dump(mode="json"))
    ran = cli("folder", "manifest", "chat")
    assert ran.out.splitlines()[1].split() == [DIGEST, "2", "KiB", "weights/a.bin"]
    assert f"1 file, 2 KiB, content {MANIFEST.snapshot_id}" in ran.err
    assert cli("folder", "manifest", "chat", "--json").json == MANIFEST.model_dump(mode="json")


def test_the_manifest_of_a_service_is_that_of_its_revision(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", ECHO, service_view(revision=3))
    there.on("GET", f"{ECHO}/revisions/3/manifest", MANIFEST.model_dump(mode="json"))
    assert DIGEST in cli("service", "manifest", "echo").out
    there.on("GET", f"{ECHO}/revisions/1/manifest", lambda: problem("not-found", 404))
    ran = cli("service", "manifest", "echo", "--revision", 1)
    assert (ran.code, ran.err.strip()) == (1, "error: Not-Found: it is not-found")


def test_show_says_that_the_folder_has_changed_and_what_to_do(cli: Cli, there: FakeManagerApi) -> None:
    model = {"folder_id": uid(5), "folder": "chat", "target": "/models", "read_only": True}
    pinned = {**EFFECTIVE, "mounts": [{**model, "snapshot_id": MANIFEST.snapshot_id}]}
    there.on("GET", ECHO, service_view(folder_id=uid(5), effective=pinned, folder_changed=True))
    lines = [" ".join(line.split()) for line in cli("service", "show", "echo").out.splitlines()]
    then = "to roll its files out: headrace service update echo --refresh"
    assert f"folder chat, changed since revision 1; {then}" in lines
    assert f"mount chat at /models, read only, content {MANIFEST.snapshot_id[:12]}" in lines
    there.on("GET", ECHO, service_view(folder_id=uid(5), effective=pinned, folder_changed=False))
    assert "changed" not in cli("service", "show", "echo").out


def test_refresh_sends_the_current_spec_again(cli: Cli, there: FakeManagerApi) -> None:
    revision = {"number": 1, "spec": {"folder": "chat"}, "created_at": NOW, "created_by": "admin", "message": ""}
    there.on("GET", ECHO, service_view())
    there.on("GET", f"{ECHO}/revisions", {"items": [revision], "next": None})
    there.on("PATCH", ECHO, service_view(revision=2))
    assert cli("service", "update", "echo").code == 2, "nothing to change"
    assert cli("service", "update", "echo", "--refresh").code == 0
    assert there.bodies[-1] == {"spec": {"folder": "chat", "environ": {}}, "message": ""}
