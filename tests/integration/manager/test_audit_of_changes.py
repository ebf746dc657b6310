"""Each change over the API leaves one record: who, by which key, why, before and after; a refused one leaves none.

The operations are those of the OpenAPI document: a new one fails here until it is walked through, or is in a table below.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import pytest

from headrace.common.bus.identities import new_seed, public_key
from headrace.common.db.pool import Pool
from headrace.install.make import make
from headrace.install.plan import Choices, Layout
from headrace.manager.api.app import document
from tests.support.api import TUS, Api
from tests.support.worlds.manager_api import ManagerApi, serving

PASSWORD: Final = "correct horse battery"
URL: Final = "https://ml.example.com"
NO_RECORD: Final[Mapping[str, str]] = {
    "check_definition": "reads a file, and changes nothing",
    "send_selection": "sends files, and changes nothing",
    "resolve": "says what a change would come to, and changes nothing",
    "call_service": "calls a service as its clients do, and changes nothing here; the app-proxy's access log has it",
    "create_upload": "the folder changes with the last byte (append_to_upload)",
    "cancel_upload": "the folder has not changed",
    "renew_identity": "a machine signs its own identity anew, each week; it has what it had",
}
"""Operations that leave no record, and why."""
BY_NOBODY: Final[Mapping[str, str]] = {
    "join": "a machine does, by a join token: `agent.joined`, whose actor is the token (test_api_joining.py)",
}
"""Operations that no user calls, and where their record is tested."""
RULE: Final = {
    "source": "kernel",
    "metric": "cpu_util",
    "comparator": "GREATER_THAN",
    "threshold": 1,
    "step": 1,
    "max_replicas": 2,
}


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[ManagerApi]:
    """The API of a manager that signs identities."""
    files = make(tmp_path / "etc", Choices(url=URL, layout=Layout.HOST, agents=["gpu-0=10.0.0.9"]), datetime.now(UTC))
    settings = {
        "bus_signing_file": files.folder / "bus/signing.json",
        "public_url": URL,
        "ca_file": files.folder / "tls/ca.crt",
        "machines_nats_url": "tls://nats.example.com:4222",
    }
    async with serving(pool, tmp_path, **settings) as running:
        yield running


class Walk:
    """Calls of changing operations, each first by somebody who may not."""

    def __init__(self, api: ManagerApi, stranger: Api) -> None:
        self.api, self.stranger = api, stranger
        self.done: dict[str, str] = {}
        self.secrets: list[str] = [PASSWORD, api.admin.key, stranger.key]
        self.operations = {
            operation["operationId"]: (method.upper(), path)
            for path, methods in document()["paths"].items()
            for method, operation in methods.items()
            if method not in {"get", "head", "options"}
        }

    async def records(self) -> list[Any]:
        """Return all records of changes, oldest first."""
        return list(await self.api.pool.fetch("select * from events order by id"))

    async def does(
        self,
        operation: str,
        action: str,
        states: str,
        body: object = None,
        *,
        refused: Mapping[str, Any] | None = None,
        refused_to: Api | None = None,
        why: str | None = None,
        **places: Any,
    ) -> Any:
        """Have it refused, then done; return its answer. `states`: which of before and after its record has.

        `refused`: places of the request that is refused, `refused_to`: who is, where it is not to the viewer of the project.
        """
        method, template = self.operations[operation]
        message = f"because of {operation} …"
        before = await self.records()
        asks = refused_to or (self.stranger if refused is None else self.api.admin)
        answer = await self._send(asks, method, template, body, places | dict(refused or {}), message)
        assert 400 <= answer.status_code < 500, (operation, answer.status_code, answer.text)
        assert await self.records() == before, f"{operation} was refused"

        answer = await self._send(self.api.admin, method, template, body, places, message)
        assert answer.status_code < 300, (operation, answer.status_code, answer.text)
        events = (await self.records())[len(before) :]
        assert [event["action"] for event in events] == [action], operation
        (event,) = events
        assert event["message"] == (why or message), operation
        assert event["source_address"] == "127.0.0.1"
        assert event["key_id"] is not None or event["login_id"] is not None
        there = " ".join(name for name in ("before", "after") if event[name] is not None)
        assert there == states, (operation, event["before"], event["after"])
        self.done[operation] = action
        return answer.json() if answer.content and "json" in answer.headers["Content-Type"] else answer

    async def _send(
        self, caller: Api, method: str, template: str, body: object, places: Mapping[str, object], message: str
    ) -> httpx.Response:
        path = re.sub(r"\{(\w+)\}", lambda found: str(places[found[1]]), template)
        headers = {b"X-Headrace-Message": message.encode(), b"Tus-Resumable": b"1.0.0"}
        if isinstance(body, bytes):
            kind = b"application/x-tar" if path.endswith("/archive") else b"application/offset+octet-stream"
            headers |= {b"Content-Type": kind, b"Upload-Offset": b"0"}
            return await caller.http.request(method, path, content=body, headers=headers)
        return await caller.http.request(method, path, json=body, headers=headers)


async def test_each_operation_that_changes_something_leaves_one_record_and_a_refused_one_none(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "red"})
    walk = Walk(api, await api.user("eve", red="viewer"))
    await of_projects_and_users(walk)
    await of_folders(walk)
    await of_services(walk)
    await of_callers(walk)
    await of_rollouts(walk)
    await of_machines(walk)
    await of_logins(walk)
    await walk.does("delete_service", "service.deleted", "before", service="talk")
    await walk.does("delete_folder", "folder.deleted", "before", folder="papers")
    deleted: dict[str, Any] = {"folder": "papers"}
    await walk.does("restore_folder", "folder.restored", "after", {}, **deleted)
    await walk.api.admin.call("DELETE", "/v1/folders/papers")
    await walk.does("purge_folder", "folder.purged", "before", **deleted)
    await walk.does("remove_member", "member.removed", "before", project="blue", user="ann")
    await walk.does("delete_project", "project.deleted", "before", project="blue")

    assert walk.operations.keys() - walk.done.keys() == NO_RECORD.keys() | BY_NOBODY.keys()
    kept = str(await api.pool.fetchval("select jsonb_agg(to_jsonb(e))::text from events e"))
    assert [secret for secret in walk.secrets if secret in kept] == []


async def of_projects_and_users(walk: Walk) -> None:
    does = walk.does
    await does("create_project", "project.created", "after", {"name": "blue"})
    await does("update_project", "project.updated", "before after", {"description": "x"}, project="blue")
    await does("create_user", "user.created", "after", {"name": "ann"})
    await does("update_user", "user.updated", "before after", {"operator": True}, user="ann")
    await does("put_member", "member.put", "after", {"role": "member"}, project="blue", user="ann")
    other = {"user": "nobody"}
    key = await does("create_key", "key.created", "after", {"name": "k"}, user="admin", refused=other)
    walk.secrets.append(key["key"][-30:])
    places: dict[str, Any] = {"user": "admin", "key_id": key["id"]}
    await does("update_key", "key.updated", "before after", {"name": "l"}, **places, refused=other)
    await does("delete_key", "key.deleted", "before", **places, refused=other)
    secret: dict[str, Any] = {"project": "blue", "secret": "hub"}
    walk.secrets.append("a secret value of 24 bytes")
    await does("put_secret", "secret.created", "after", {"value": "a secret value of 24 bytes"}, **secret)
    which: dict[str, Any] = {"project": "blue", "webhook": "hook"}
    hook = {"name": "hook", "url": "https://hooks.example.com/a-secret-path", "secret": "hub"}
    walk.secrets.append("a-secret-path")
    await does("create_webhook", "webhook.created", "after", hook, project="blue")
    await does("update_webhook", "webhook.updated", "before after", {"kinds": ["service.*"]}, **which)
    await does("test_webhook", "webhook.tested", "before after", **which)
    await does("delete_webhook", "webhook.deleted", "before", **which)
    await does("delete_secret", "secret.deleted", "before", **secret)
    preset = {"name": "small", "slots": {"cpu": 1}}
    await does("create_resource_preset", "resource-preset.created", "after", preset)
    change = {"description": "of one core"}
    await does("update_resource_preset", "resource-preset.updated", "before after", change, preset="small")
    await does("delete_resource_preset", "resource-preset.deleted", "before", preset="small")
    await does("create_resource_group", "resource-group.created", "after", {"name": "a100"})
    group: dict[str, Any] = {"group": "a100"}
    await does("update_resource_group", "resource-group.updated", "before after", {"projects": ["red"]}, **group)
    await does("delete_resource_group", "resource-group.deleted", "before", group="a100")


async def of_folders(walk: Walk) -> None:
    does, admin = walk.does, walk.api.admin
    await does("create_folder", "folder.created", "after", {"name": "files", "project": "blue"})
    made = await admin.http.post(
        "/v1/folders/files/uploads", headers={**TUS, "Upload-Length": "1", "Upload-Metadata": "path YQ=="}
    )
    upload = made.headers["Location"].rpartition("/")[2]
    await does("append_to_upload", "file.uploaded", "after", b"1", folder="files", upload=upload)
    await does("delete_file", "file.deleted", "before", folder="files", path="a")
    await does("take_archive", "files.uploaded", "after", _archive(), folder="files")
    await does("create_directory", "directory.created", "after", {"path": "d"}, folder="files")
    await does("move_file", "file.moved", "before after", {"path": "b", "to": "d/b"}, folder="files")
    await does("write_file", "file.uploaded", "after", b"text", folder="files", path="note")
    await does("update_folder", "folder.renamed", "before after", {"name": "papers"}, folder="files")
    which: dict[str, Any] = {"folder": "papers"}
    share = await does("share_folder", "folder.shared", "after", {"project": "red"}, **which)
    await does("unshare_folder", "folder.unshared", "before", **which, share=share["id"])
    invitation = await does("share_folder", "folder.invited", "after", {"user": "admin"}, **which)
    accepted = {"invitation": invitation["id"]}
    await does("accept_folder_invitation", "folder.invitation-accepted", "before after", {"project": "red"}, **accepted)
    again = await does("share_folder", "folder.invited", "after", {"user": "admin"}, **which)
    await does("decline_folder_invitation", "folder.invitation-declined", "before", invitation=again["id"])


async def of_services(walk: Walk) -> None:
    does = walk.does
    spec = {"name": "chat", "project": "red", "runtime": "cmd", "environ": {"MODE": "1"}}
    await does("create_service", "service.created", "after", spec | {"replicas": 2})
    body = {"replicas": 3, "spec": {"runtime": "cmd", "environ": {"MODE": "2", "OLD": "0"}}, "message": "more of it"}
    await does("update_service", "service.updated", "before after", body, service="chat", why="more of it")
    event = (await walk.records())[-1]
    old, new = {"replicas": 2, "revision": 1}, {"replicas": 3, "revision": 2}
    assert event["before"] == old | {"spec": {"environ": {"MODE": "1"}}}
    assert event["after"] == new | {"spec": {"environ": {"MODE": "2", "OLD": "0"}}}
    await does("roll_back_service", "service.rolled-back", "before after", {"revision": 1}, service="chat")
    await does("restart_service", "service.restarted", "before after", service="chat")
    await does("retry_service", "service.retried", "before after", service="chat")
    await does("stop_service", "service.stopped", "before after", service="chat")
    await does("start_service", "service.started", "before after", service="chat")
    rule = await does("add_rule", "rule.added", "after", RULE, service="chat")
    places: dict[str, Any] = {"service": "chat", "rule_id": rule["id"]}
    await does("replace_rule", "rule.replaced", "before after", RULE | {"step": 2}, **places)
    await does("update_rule", "rule.replaced", "before after", {"enabled": False}, **places)
    assert (await walk.records())[-1]["before"] == {"rule": {"enabled": True}}
    await does("remove_rule", "rule.removed", "before", **places)
    run = await does("start_validation", "validation.started", "after", {"runtime": "cmd", "project": "red"})
    await does("stop_validation", "validation.stopped", "before after", validation=run["id"])


async def of_callers(walk: Walk) -> None:
    does = walk.does
    scopes: dict[str, dict[str, Any]] = {"token": {"service": "chat"}, "project_token": {"project": "red"}}
    for operation, scope in scopes.items():
        token = await does(f"create_{operation}", "token.created", "after", {"name": "app"}, **scope)
        walk.secrets.append(token["token"].rpartition(".")[2])
        places: dict[str, Any] = scope | {"token_id": token["id"]}
        await does(f"update_{operation}", "token.updated", "before after", {"share": 2}, **places)
        await does(f"revoke_{operation}", "token.revoked", "before after", **places)
        count = len(await walk.records())
        method, path = walk.operations[f"revoke_{operation}"]
        await walk.api.admin.call(method, re.sub(r"\{(\w+)\}", lambda found: str(places[found[1]]), path))  # noqa: B023
        assert len(await walk.records()) == count, "it is revoked already"
    client = await does("create_client", "client.created", "after", {"name": "robot"}, service="chat")
    walk.secrets.append(client["secret"])
    of_robot: dict[str, Any] = {"service": "chat", "client": "robot"}
    await does("update_client", "client.updated", "before after", {"share": 2}, **of_robot)
    walk.secrets.append((await does("rotate_client", "client.rotated", "before after", **of_robot))["secret"])
    await does("revoke_client", "client.revoked", "before", **of_robot)


async def of_rollouts(walk: Walk) -> None:
    does, api = walk.does, walk.api
    canary = {"rollout": {"strategy": "canary", "steps": [{"replicas": "50%"}]}}
    new = {"name": "talk", "project": "red", "runtime": "cmd", "replicas": 2, **canary}
    await api.admin.call("POST", "/v1/services", new)
    replica, _ = await api.runs("talk")
    places: dict[str, Any] = {"service": "talk", "replica": replica}
    await does("put_weight", "replica.weighted", "before after", {"weight": 5}, **places)
    await does("replace_replica", "replica.replace-asked", "before after", {}, **places)
    await api.pool.execute("update services set served_revision_id = revision_id where name = 'talk'")
    await api.admin.call("PATCH", "/v1/services/talk", {"spec": {"runtime": "cmd", "environ": {"A": "1"}}})
    paused = {"message": "a look first"}
    await does("pause_rollout", "rollout.paused", "before after", paused, service="talk", why="a look first")
    await does("resume_rollout", "rollout.resumed", "before after", service="talk")
    await does("promote_rollout", "rollout.promoted", "before after", {}, service="talk")
    await does("abort_rollout", "rollout.aborted", "before after", {}, service="talk")


async def of_machines(walk: Walk) -> None:
    does, api = walk.does, walk.api
    await api.machine("gpu-1")
    agent: dict[str, Any] = {"agent": "gpu-1"}
    await does("update_agent", "agent.updated", "before after", {"addresses": ["10.0.0.2"]}, **agent)
    await does("label_agent", "agent.labelled", "before after", {"labels": {"rack": "r1"}}, **agent)
    await does("cordon_agent", "agent.cordoned", "before after", {"reason": "disks"}, **agent, why="disks")
    await does("drain_agent", "agent.drain-started", "before after", {}, **agent)
    await does("uncordon_agent", "agent.uncordoned", "before after", **agent)
    await api.pool.execute("update agents set lost_at = now() where id = 'gpu-1'")
    await does("remove_agent", "agent.removed", "before", **agent)
    await does("admit_agent", "agent.admitted", "before after", **agent)
    made = await does("create_join_token", "join-token.created", "after", {"kind": "agent"})
    walk.secrets.append(made["token"][-30:])
    join = {"token": made["token"], "kind": "agent", "name": "gpu-2", "public_key": public_key(new_seed("user"))}
    await api.admin.call("POST", "/v1/join", join)
    await does("revoke_join_token", "join-token.revoked", "before after", join_token=made["id"])
    await does("revoke_identity", "identity.revoked", "before after", name="gpu-2")


async def of_logins(walk: Walk) -> None:
    does, api = walk.does, walk.api
    await does("put_password", "password.set", "before after", {"password": PASSWORD}, user="ann")
    reader = Api(api.url, (await api.admin.call("POST", "/v1/users/admin/keys", {"read_only": True}))["key"])
    api.users.append(reader)
    code = await does("create_login_code", "login-code.created", "after", refused_to=reader)
    walk.secrets.append(code["code"][-30:])
    count = len(await walk.records())
    by_password = {"user": "ann", "password": PASSWORD, "token": True}
    first, second = [await api.admin.call("POST", "/v1/login", by_password) for _ in range(2)]
    walk.secrets += [first["token"][-30:], second["token"][-30:]]
    assert [event["action"] for event in (await walk.records())[count:]] == ["login.started"] * 2
    await api.admin.call("POST", "/v1/login", by_password | {"password": "another one"}, expect=401)
    assert [event["action"] for event in (await walk.records())[count + 2 :]] == ["login.failed"], "refusals are kept"
    await does("end_login_of_user", "login.ended", "before", user="ann", login_id=first["id"])
    ann = Api(api.url, second["token"])
    api.users.append(ann)
    await ann.call("DELETE", "/v1/login")
    ended = (await walk.records())[-1]
    assert (ended["action"], ended["login_id"]) == ("login.ended", UUID(second["id"]))
    walk.done |= {"start_login": "login.started", "end_login": "login.ended"}


def _archive() -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        entry = tarfile.TarInfo("b")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"2"))
    return held.getvalue()
