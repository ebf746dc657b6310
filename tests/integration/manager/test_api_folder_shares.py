"""Shared folders: who sees, uses and changes what, by shares and invitations, and what ends with them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any, Final

import pytest

from headrace.common.db.pool import Pool
from headrace.manager.loops import live_changes
from tests.support.api import TUS, Api
from tests.support.live_events import LiveStream, following
from tests.support.worlds.manager_api import ManagerApi, serving

DEFINITION: Final = b"""
models:
  - {name: owl, model_path: /models, service: {start_command: [serve, small], port: 8000}}
"""
SECTION: Final = b"""
[custom.environment]
image = "example.com/serve:1"
architecture = "x86_64"
[custom.resource_slots]
cpu = 2
"""
SERVICE = {"runtime": "cmd", "image": "img", "slots": {"cpu": 1}}


class Tenants:
    """Two projects: `red`, whose folders are shared, and `blue`, with which they are."""

    def __init__(self, api: ManagerApi, people: dict[str, Api], folder: str) -> None:
        self.api = api
        self.admin = api.admin
        self.red, self.blue, self.reader, self.stranger = (
            people[name] for name in ("red-owner", "blue-member", "blue-viewer", "stranger")
        )
        self.red_member = people["red-member"]
        self.folder = folder

    async def share(self, **asked: Any) -> Any:
        """Share the folder: by the operator, since the owner is not in the other project."""
        return await self.admin.call("POST", f"/v1/folders/{self.folder}/shares", asked)

    async def unshare(self, share: Any) -> None:
        """End a share."""
        await self.red.call("DELETE", f"/v1/folders/{self.folder}/shares/{share['id']}")


@pytest.fixture
async def tenants(api: ManagerApi) -> Tenants:
    """Two projects, their people, and a model folder of the first."""
    for name in ("red", "blue", "green"):
        await api.admin.call("POST", "/v1/projects", {"name": name})
    people = {
        "red-owner": await api.user("red-owner", red="owner"),
        "red-member": await api.user("red-member", red="member"),
        "blue-member": await api.user("blue-member", blue="member"),
        "blue-viewer": await api.user("blue-viewer", blue="viewer"),
        "stranger": await api.user("stranger", green="owner"),
    }
    folder = await people["red-owner"].folder("chat", {"weights": b"12345", "d/x": b"1"}, project="red")
    return Tenants(api, people, folder)


def packed(name: str, content: bytes) -> bytes:
    """Return an archive of one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


async def test_a_folder_that_is_shared_to_read_is_read_and_served_by_the_other_project_alone(tenants: Tenants) -> None:
    blue, folder = tenants.blue, tenants.folder
    await blue.call("GET", f"/v1/folders/{folder}", expect=404)
    share = await tenants.share(project="blue")
    assert (share["project"], share["permission"], share["user"], share["expires_at"]) == ("blue", "read", None, None)
    for reference in (f"/v1/folders/{folder}", "/v1/folders/red%2Fchat", "/v1/folders/chat?project=red"):
        seen = await blue.call("GET", reference)
        assert (seen["id"], seen["project"], seen["permission"], seen["shared_to_caller"]) == (
            folder,
            "red",
            "read",
            True,
        )
        assert (seen["shared_with"], seen["size_bytes"], seen["files"]) == (None, 6, 3)
    assert (await blue.http.get("/v1/folders/red%2Fchat/files/d/x")).content == b"1"
    assert len((await blue.call("GET", f"/v1/folders/{folder}/manifest"))["files"]) == 2
    await blue.call("GET", "/v1/folders/chat", expect=404)  # a name alone is of one's own projects
    assert (await blue.call("GET", "/v1/folders"))["items"] == []
    for listed in ("/v1/folders?shared=true", "/v1/folders?shared=true&project=blue"):
        assert [one["id"] for one in (await blue.call("GET", listed))["items"]] == [folder]
    assert (await tenants.stranger.call("GET", "/v1/folders?shared=true"))["items"] == []
    assert (await tenants.red.call("GET", "/v1/folders?shared=true"))["items"] == []

    await blue.call("POST", "/v1/services", {"name": "s", "folder": "red/chat", **SERVICE})
    own = await tenants.red.call("GET", "/v1/folders/chat")
    assert (own["used_by_count"], own["used_by"], own["shared_with"], own["permission"]) == (1, [], 1, "write")
    assert (await blue.call("GET", "/v1/folders/red%2Fchat"))["used_by"] == [{"service": "s", "project": "blue"}]
    found = await blue.call("GET", "/v1/services?folder=red%2Fchat")
    assert [one["name"] for one in found["items"]] == ["s"]
    # what is not shared with the service's project is not there, whoever asks
    problem = await tenants.admin.call(
        "POST", "/v1/services", {"name": "g", "project": "green", "folder": folder, **SERVICE}, expect=404
    )
    assert problem["detail"] == f"there is no folder {folder} in project green"
    await blue.call("POST", "/v1/services", {"name": "b", "folder": "chat", **SERVICE}, expect=404)


async def test_what_is_shared_to_read_is_changed_by_nobody_of_the_other_project(tenants: Tenants) -> None:
    await tenants.share(project="blue")
    at = f"/v1/folders/{tenants.folder}"
    metadata = {**TUS, "Upload-Length": "1", "Upload-Metadata": "path YQ=="}
    for who in (tenants.blue, tenants.reader):
        assert (await who.http.post(f"{at}/uploads", headers=metadata)).status_code == 403
        archive = await who.http.post(
            f"{at}/archive", content=packed("a", b"1"), headers={"Content-Type": "application/x-tar"}
        )
        assert archive.status_code == 403, archive.text
        assert (await who.http.put(f"{at}/files/weights", content=b"evil")).status_code == 403
        await who.call("DELETE", f"{at}/files/weights", expect=403)
        await who.call("POST", f"{at}/directories", {"path": "new"}, expect=403)
        await who.call("POST", f"{at}/moves", {"path": "weights", "to": "w"}, expect=403)
        problem = await who.call("PATCH", at, {"name": "mine"}, expect=403)
        assert "is shared with you; only owners and members of project red" in problem["detail"]
        await who.call("DELETE", f"{at}?purge=true", expect=403)
        await who.call("POST", f"{at}/shares", {"project": "blue", "permission": "write"}, expect=403)
    assert (await tenants.red.http.get(f"{at}/files/weights")).content == b"12345"
    for who in (tenants.stranger,):
        assert (await who.http.post(f"{at}/uploads", headers=metadata)).status_code == 404
        await who.call("GET", f"{at}/shares", expect=404)
        await who.call("POST", f"{at}/shares", {"project": "green"}, expect=404)


async def test_what_is_shared_to_write_is_written_by_members_and_counts_for_its_owner(tenants: Tenants) -> None:
    await tenants.share(project="blue", permission="write")
    await tenants.blue.upload(tenants.folder, "more", b"1234")
    assert (await tenants.blue.call("GET", "/v1/folders/red%2Fchat"))["permission"] == "write"
    assert (await tenants.reader.call("GET", "/v1/folders/red%2Fchat"))["permission"] == "read"
    await tenants.reader.call("DELETE", f"/v1/folders/{tenants.folder}/files/more", expect=403)
    used = {}
    for project in ("red", "blue"):
        used[project] = (await tenants.admin.call("GET", f"/v1/projects/{project}/usage"))["used"].get("storage", "0")
    assert used == {"red": "10", "blue": "0"}
    await tenants.blue.call("PATCH", f"/v1/folders/{tenants.folder}", {"name": "mine"}, expect=403)
    await tenants.blue.call("DELETE", f"/v1/folders/{tenants.folder}", expect=403)
    entry = (await tenants.red.call("GET", "/v1/audit?project=red&action=file.uploaded"))["items"][0]
    assert entry["actor"] == "blue-member"


async def test_who_may_share_and_with_whom(tenants: Tenants) -> None:
    at = f"/v1/folders/{tenants.folder}/shares"
    await tenants.red_member.call("POST", at, {"project": "blue"}, expect=403)
    await tenants.red.call("POST", at, {"project": "blue"}, expect=404)  # as one that is not there
    await tenants.red.call("POST", at, {"project": "nothing"}, expect=404)
    await tenants.red.call("POST", at, {"all_projects": True}, expect=403)
    await tenants.red.call("POST", at, {"project": "red"}, expect=400)
    for wrong in ({}, {"project": "blue", "user": "stranger"}, {"all_projects": True, "permission": "write"}):
        await tenants.admin.call("POST", at, wrong, expect=400)
    await tenants.admin.call("PUT", "/v1/projects/blue/members/red-owner", {"role": "viewer"})
    await tenants.red.call("POST", at, {"project": "blue"}, expect=403)
    await tenants.admin.call("PUT", "/v1/projects/blue/members/red-owner", {"role": "member"})
    first = await tenants.red.call("POST", at, {"project": "blue"})
    again = await tenants.red.call("POST", at, {"project": "blue", "permission": "write"})
    assert (again["id"], again["permission"]) == (first["id"], "write")
    assert [one["project"] for one in (await tenants.red.call("GET", at))["items"]] == ["blue"]


async def test_a_folder_that_an_operator_shares_with_all_is_read_by_everybody(tenants: Tenants) -> None:
    share = await tenants.share(all_projects=True)
    (seen,) = (await tenants.stranger.call("GET", "/v1/folders?shared=true"))["items"]
    assert (seen["id"], seen["shared_with_all"], seen["permission"]) == (tenants.folder, True, "read")
    await tenants.stranger.call("POST", "/v1/services", {"name": "s", "folder": "red/chat", **SERVICE})
    assert (await tenants.stranger.call("GET", f"/v1/folders/{tenants.folder}/shares"))["items"] == []
    await tenants.stranger.call("DELETE", f"/v1/folders/{tenants.folder}/shares/{share['id']}", expect=404)
    await tenants.stranger.call("DELETE", f"/v1/folders/{tenants.folder}/files/weights", expect=403)
    await tenants.unshare(share)
    await tenants.stranger.call("GET", f"/v1/folders/{tenants.folder}", expect=404)


async def test_an_invitation_is_for_its_user_and_is_accepted_for_one_of_hers(tenants: Tenants) -> None:
    at = f"/v1/folders/{tenants.folder}/shares"
    made = await tenants.red.call("POST", at, {"user": "blue-member", "permission": "write"})
    assert (made["user"], made["project"], made["permission"]) == ("blue-member", None, "write")
    await tenants.blue.call("GET", f"/v1/folders/{tenants.folder}", expect=404)  # until it is accepted
    one = f"/v1/folder-invitations/{made['id']}"
    for who in (tenants.stranger, tenants.red, tenants.reader, tenants.admin):
        assert (await who.call("GET", "/v1/folder-invitations"))["items"] == []
        body = {"project": {tenants.red: "red", tenants.admin: "default"}.get(who)}
        await who.call(
            "POST", f"{one}/accept", {"project": "green"} if who is tenants.stranger else body, expect=(403, 404)
        )
        await who.call("DELETE", one, expect=404)
    (seen,) = (await tenants.blue.call("GET", "/v1/folder-invitations"))["items"]
    assert (seen["folder"], seen["permission"], seen["created_by"]) == ("red/chat", "write", "red-owner")
    await tenants.blue.call("POST", f"{one}/accept", {"project": "green"}, expect=404)
    folder = await tenants.blue.call("POST", f"{one}/accept", {})
    assert (folder["id"], folder["permission"], folder["shared_to_caller"]) == (tenants.folder, "write", True)
    await tenants.blue.call("POST", f"{one}/accept", {}, expect=404)
    (share,) = (await tenants.red.call("GET", at))["items"]
    assert (share["project"], share["permission"], share["user"]) == ("blue", "write", None)
    (event,) = (await tenants.red.call("GET", "/v1/audit?project=red&action=folder.invitation-accepted"))["items"]
    assert (event["actor"], event["details"]["with"]) == ("blue-member", "project blue")
    # its members see that one share, and may give it up
    await tenants.share(project="green")
    assert [one["project"] for one in (await tenants.blue.call("GET", at))["items"]] == ["blue"]
    await tenants.reader.call("DELETE", f"{at}/{share['id']}", expect=403)
    await tenants.blue.call("DELETE", f"{at}/{share['id']}")
    await tenants.blue.call("GET", f"/v1/folders/{tenants.folder}", expect=404)


async def test_invitations_are_declined_withdrawn_and_end(tenants: Tenants) -> None:
    at = f"/v1/folders/{tenants.folder}/shares"

    async def invited() -> str:
        return str((await tenants.red.call("POST", at, {"user": "blue-member"}))["id"])

    first = await invited()
    assert await invited() == first
    await tenants.blue.call("DELETE", f"/v1/folder-invitations/{first}")
    assert (await tenants.red.call("GET", at))["items"] == []
    second = await invited()
    await tenants.red.call("DELETE", f"{at}/{second}")
    await tenants.blue.call("POST", f"/v1/folder-invitations/{second}/accept", {}, expect=404)
    third = await invited()
    await tenants.api.pool.execute("update folder_shares set expires_at = now() - interval '1 second'")
    assert (await tenants.blue.call("GET", "/v1/folder-invitations"))["items"] == []
    await tenants.blue.call("POST", f"/v1/folder-invitations/{third}/accept", {}, expect=404)
    assert (await tenants.red.call("GET", "/v1/folders/chat"))["shared_with"] == 0
    fourth = await invited()
    await tenants.red.call("DELETE", f"/v1/folders/{tenants.folder}")
    await tenants.blue.call("POST", f"/v1/folder-invitations/{fourth}/accept", {}, expect=404)
    assert (await tenants.blue.call("GET", "/v1/folder-invitations"))["items"] == []


async def test_what_is_not_shared_any_more_is_in_no_new_revision(tenants: Tenants) -> None:
    blue = tenants.blue
    share = await tenants.share(project="blue")
    await blue.call("POST", "/v1/services", {"name": "s", "folder": "red/chat", **SERVICE})
    await blue.call("PATCH", "/v1/services/s", {"spec": {**SERVICE}})
    await blue.call("PATCH", "/v1/services/s", {"spec": {"folder": "red/chat", **SERVICE}, "replicas": 2})
    await blue.call("POST", "/v1/services", {"name": "t", "folder": "red/chat", **SERVICE})
    await blue.call("POST", "/v1/services/t/stop")
    await tenants.unshare(share)
    await blue.call("GET", f"/v1/folders/{tenants.folder}", expect=404)
    (mount,) = (await blue.call("GET", "/v1/services/s"))["effective"]["mounts"]
    assert mount["snapshot_id"], "its replicas have the files"
    assert len((await blue.call("GET", "/v1/services/s/revisions/1/manifest"))["files"]) == 2
    problem = await blue.call("PATCH", "/v1/services/s", {"spec": {"folder": "red/chat", **SERVICE}}, expect=404)
    problem_of_spec = problem["detail"]
    assert problem_of_spec == "there is no folder red/chat, or it is not shared with project blue"
    for method, path, body in (
        ("POST", "/v1/services/s/restart", None),
        ("POST", "/v1/services/s/rollback", {"revision": 1}),
        ("POST", "/v1/services/t/start", None),
    ):
        problem = await blue.call(method, path, body, expect=409)
        assert "folder red/chat at /models is not shared with this project any more" in problem["detail"]
    await tenants.api.pool.execute("update services set failed_starts = 5 where name = 's'")
    await blue.call("POST", "/v1/services/s/retry", expect=404)
    asked = {"service": "s", "update": {"spec": {"folder": "red/chat", **SERVICE}}}
    dry = await blue.call("POST", "/v1/resolutions", asked)
    assert [one["detail"] for one in dry["problems"]] == [problem_of_spec]
    await blue.call("PATCH", "/v1/services/s", {"replicas": 3})  # what runs goes on


async def test_a_writable_mount_needs_a_share_to_write(tenants: Tenants) -> None:
    await tenants.red.folder("corpus", {"a": b"1"}, project="red", usage_mode="data")
    share = await tenants.admin.call("POST", "/v1/folders/corpus/shares?project=red", {"project": "blue"})
    spec = {**SERVICE, "extra_mounts": [{"folder": "red/corpus", "read_only": False}]}
    problem = await tenants.blue.call("POST", "/v1/services", {"name": "s", **spec}, expect=400)
    assert problem["errors"][0]["field"] == "extra_mounts[0].read_only"
    again = await tenants.admin.call(
        "POST", "/v1/folders/red%2Fcorpus/shares", {"project": "blue", "permission": "write"}
    )
    assert again["id"] == share["id"]
    await tenants.blue.call("POST", "/v1/services", {"name": "s", **spec})
    await tenants.admin.call("POST", "/v1/folders/red%2Fcorpus/shares", {"project": "blue", "permission": "read"})
    problem = await tenants.blue.call("POST", "/v1/services/s/restart", expect=409)
    assert "/home/work/corpus is not shared with this project for writing any more" in problem["detail"]


async def test_services_of_other_projects_follow_a_renamed_folder_and_keep_it_from_deletion(tenants: Tenants) -> None:
    await tenants.share(project="blue")
    await tenants.blue.folder("chat", {"own": b"1"}, project="blue")
    spec = {**SERVICE, "folder": "red/chat"}
    await tenants.blue.call("POST", "/v1/services", {"name": "theirs", **spec})
    await tenants.blue.call("POST", "/v1/services", {"name": "own", **SERVICE, "folder": "chat"})
    before = (await tenants.red.call("GET", "/v1/folders/chat"))["etag"]
    renamed = await tenants.red.call("PATCH", "/v1/folders/chat", {"name": "talk"})
    assert renamed["etag"] != before
    stale = await tenants.red.http.patch("/v1/folders/talk", json={"name": "x"}, headers={"If-Match": f'"{before}"'})
    assert stale.status_code == 412
    specs = [(await tenants.blue.call("GET", f"/v1/services/{name}/revisions/1"))["spec"] for name in ("theirs", "own")]
    assert [spec["folder"] for spec in specs] == ["red/talk", "chat"]
    (mount,) = (await tenants.blue.call("GET", "/v1/services/theirs"))["effective"]["mounts"]
    assert (mount["folder"], mount["folder_id"]) == ("red/talk", tenants.folder)
    await tenants.blue.call("PATCH", "/v1/services/theirs", {"spec": specs[0] | {"environ": {"A": "1"}}})
    problem = await tenants.red.call("DELETE", "/v1/folders/talk", expect=409)
    assert "needed by 1 service of other projects" in problem["detail"]
    assert "theirs" not in problem["detail"]
    await tenants.red.call("DELETE", "/v1/folders/talk?force=true")
    problem = await tenants.blue.call("POST", "/v1/services/theirs/restart", expect=409)
    assert "was deleted" in problem["detail"]
    await tenants.red.call("POST", f"/v1/trash/{tenants.folder}/restore", {})
    await tenants.blue.call("POST", "/v1/services/theirs/restart")  # with its shares


async def test_a_key_of_another_project_does_not_reach_what_is_shared(tenants: Tenants) -> None:
    await tenants.admin.call("PUT", "/v1/projects/green/members/blue-member", {"role": "member"})
    await tenants.share(project="blue")
    made = await tenants.blue.call("POST", "/v1/users/blue-member/keys", {"projects": ["green"]})
    limited = Api(tenants.api.url, made["key"])
    await limited.call("GET", f"/v1/folders/{tenants.folder}", expect=404)
    assert (await limited.call("GET", "/v1/folders?shared=true"))["items"] == []
    await limited.close()


async def test_a_deleted_project_loses_its_shares(tenants: Tenants) -> None:
    await tenants.share(project="green")
    await tenants.stranger.call("DELETE", "/v1/projects/green")
    assert (await tenants.red.call("GET", f"/v1/folders/{tenants.folder}/shares"))["items"] == []
    await tenants.stranger.call("GET", f"/v1/folders/{tenants.folder}", expect=404)


async def test_a_shared_model_is_in_the_store_of_the_other_project_and_runs_there(tenants: Tenants) -> None:
    await tenants.red.upload(tenants.folder, "model-definition.yaml", DEFINITION)
    await tenants.red.upload(tenants.folder, "service-definition.toml", SECTION)
    await tenants.share(project="blue")
    await tenants.blue.call("GET", "/v1/models/red%2Fchat")  # which reads the files
    for asked, seen in (("", 1), ("?project=blue", 1)):
        items = (await tenants.blue.call("GET", f"/v1/models{asked}"))["items"]
        assert [(one["folder_id"], one["shared_to_caller"]) for one in items] == [(tenants.folder, True)] * seen
    (own,) = (await tenants.red.call("GET", "/v1/models"))["items"]
    assert own["shared_to_caller"] is False
    assert (await tenants.stranger.call("GET", "/v1/models"))["items"] == []
    await tenants.stranger.call("GET", "/v1/models/red%2Fchat", expect=404)
    body = {"name": "owl", "folder": "red/chat", "runtime": "custom", "replicas": 0}
    assert (await tenants.blue.call("POST", "/v1/services", body))["effective"]["model_name"] == "owl"


async def test_who_has_a_share_is_told_what_changes(tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_changes, "QUIET_S", 0)
    folder = ("folder", tenants.folder)
    me = ("user", (await tenants.blue.call("GET", "/v1/whoami"))["user"]["id"])

    async def told(stream: LiveStream) -> tuple[str, str]:
        await tenants.api.live.one_pass()
        return (await stream.next()).what

    await tenants.api.live.one_pass()
    async with following(tenants.blue) as mine, following(tenants.stranger) as strange:
        for stream in (mine, strange):
            assert (await stream.next()).name == "ready"
        at = f"/v1/folders/{tenants.folder}/shares"
        made = await tenants.red.call("POST", at, {"user": "blue-member"})
        assert await told(mine) == me
        await tenants.blue.call("POST", f"/v1/folder-invitations/{made['id']}/accept", {})
        assert {await told(mine), await told(mine)} == {me, folder}
        await tenants.red.call("PATCH", f"/v1/folders/{tenants.folder}", {"name": "talk"})
        assert await told(mine) == folder
        (share,) = (await tenants.red.call("GET", at))["items"]
        await tenants.unshare(share)
        assert await told(mine) == folder
        other = (await tenants.stranger.call("POST", "/v1/folders", {"name": "own"}))["id"]
        assert await told(strange) == ("folder", other), "of the other nothing came"


async def test_shares_and_invitations_are_bounded(pool: Pool, tmp_path: Path) -> None:
    async with serving(pool, tmp_path, shares_per_folder=2) as api:
        for name in ("one", "two", "three"):
            await api.admin.call("POST", "/v1/projects", {"name": name})
            await api.admin.folder(name, {}, project="default")
        await api.user("ann")
        for project in ("one", "two", "one"):
            await api.admin.call("POST", "/v1/folders/one/shares", {"project": project})
        problem = await api.admin.call("POST", "/v1/folders/one/shares", {"project": "three"}, expect=409)
        assert (problem["found"], problem["allowed"]) == ("2 shares and invitations", "at most 2")
        for folder, status in (("two", 201), ("three", 201), ("two", 201)):
            await api.admin.call("POST", f"/v1/folders/{folder}/shares", {"user": "ann"}, expect=status)
        await api.admin.folder("four", {})
        problem = await api.admin.call("POST", "/v1/folders/four/shares", {"user": "ann"}, expect=409)
        assert (problem["found"], problem["allowed"]) == ("2 open invitations", "at most 2")


async def test_an_upload_ends_with_the_share(tenants: Tenants) -> None:
    share = await tenants.share(project="blue", permission="write")
    begun = await tenants.blue.http.post(
        f"/v1/folders/{tenants.folder}/uploads",
        headers={**TUS, "Upload-Length": "2", "Upload-Metadata": "path YQ=="},
    )
    await tenants.unshare(share)
    piece = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    for method in ("HEAD", "PATCH", "DELETE"):
        answer = await tenants.blue.http.request(method, begun.headers["Location"], headers=piece, content=b"12")
        assert answer.status_code == 404, method
    assert (await tenants.red.http.get(f"/v1/folders/{tenants.folder}/files/a")).status_code == 404
