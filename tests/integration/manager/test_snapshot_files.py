"""Files of snapshots for agents: who gets them, and what no request gets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from headrace.common.contracts.ids import FolderId, KernelId, SessionId, SnapshotId, new_uuid
from headrace.common.contracts.messages.folder_access import FolderAccessRequest
from headrace.common.contracts.messages.reports import KernelReport, Machine, NodeReport, Transfer
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.contracts.snapshot_files import MANIFEST_PATH, MAX_PARTS_BYTES, PARTS_PATH
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import utc_now
from headrace.manager.inbox.reports import NodeReports
from headrace.manager.settings import secret_bytes
from headrace.manager.signing import FolderAccessTokens
from headrace.manager.usecases import snapshot_files
from tests.support.factories.settings import manager_settings
from tests.support.snapshots import manifest_of, put_snapshot
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi

FILES = {"a/model.bin": bytes(range(256)) * 10, "config.json": b"{}"}


@dataclass
class Caller:
    """What somebody with a token asks a manager."""

    api: ManagerApi
    http: aiohttp.ClientSession
    snapshot_id: SnapshotId
    session_id: Any

    async def ask(self, token: str, *, body: Any = None, snapshot_id: str | None = None) -> tuple[int, bytes]:
        """Ask for the manifest, or with a body for parts; return status and answer."""
        path = (MANIFEST_PATH if body is None else PARTS_PATH).format(snapshot_id=snapshot_id or self.snapshot_id)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        method = "GET" if body is None else "POST"
        async with self.http.request(method, self.api.url + path, json=body, headers=headers) as response:
            return response.status, await response.read()

    async def token(self, agent: str = "agent-1") -> str:
        """Return the token that an agent gets."""
        return (await self.api.use.snapshot_files.grant(FolderAccessRequest(agent_id=agent))).token


@pytest.fixture
async def caller(api: ManagerApi, pool: Pool) -> AsyncIterator[Caller]:
    """A snapshot that the plan of agent-1 names, and another machine, agent-2."""
    folder_id = FolderId(new_uuid())
    snapshot_id = put_snapshot(api.folders, folder_id, FILES)
    for agent in ("agent-1", "agent-2"):
        await api.machine(agent)
    session_id = new_uuid()
    mounts = [{"folder_id": str(folder_id), "target": "/models", "snapshot_id": snapshot_id}]
    await pool.execute(
        "insert into sessions (id, kind, project_id, resource_group, status, resolved)"
        " select $1, 'validation', id, 'default', 'placed', $2 from projects limit 1",
        session_id,
        {"mounts": mounts},
    )
    await pool.execute(
        "insert into kernels (id, session_id, agent_id) values ($1, $2, 'agent-1')", new_uuid(), session_id
    )
    async with aiohttp.ClientSession() as http:
        yield Caller(api, http, snapshot_id, session_id)


def _parts(*parts: tuple[str, int, int]) -> dict[str, Any]:
    return {"parts": [{"path": path, "offset": offset, "length": length} for path, offset, length in parts]}


async def test_the_agent_whose_plan_names_it_gets_manifest_and_parts(caller: Caller) -> None:
    token = await caller.token()
    assert await caller.ask(token) == (200, manifest_of(FILES).model_dump_json().encode())
    body = _parts(("config.json", 0, 2), ("a/model.bin", 100, 300), ("a/model.bin", 0, 0))
    assert await caller.ask(token, body=body) == (200, b"{}" + FILES["a/model.bin"][100:400])


async def test_another_agent_gets_nothing_nor_does_the_same_one_when_its_replica_has_left(caller: Caller) -> None:
    other = await caller.token("agent-2")
    assert (await caller.ask(other))[0] == 404
    assert (await caller.ask(other, body=_parts(("config.json", 0, 2))))[0] == 404
    token = await caller.token()
    await caller.api.ends(caller.session_id)
    status, answer = await caller.ask(token)
    assert status == 404
    assert b"the plan of agent-1 names no snapshot" in answer


async def test_a_machine_that_is_not_in_the_installation_gets_no_token(caller: Caller) -> None:
    access = await caller.api.use.snapshot_files.grant(FolderAccessRequest(agent_id="stranger"))
    assert (access.token, access.detail) == ("", "no machine stranger is in this installation")


async def test_other_credentials_are_refused(caller: Caller, tmp_path: Path) -> None:
    secret, now = secret_bytes(manager_settings(tmp_path)), utc_now()
    tokens = FolderAccessTokens(secret)
    expired = tokens.issue("agent-1", issued_at=now - timedelta(minutes=20), lifetime=timedelta(minutes=10))
    foreign = FolderAccessTokens(bytes(32)).issue("agent-1", issued_at=now, lifetime=timedelta(minutes=10))
    admin = (tmp_path / "admin.key").read_text().strip()
    valid = await caller.token()
    changed = f"{valid[:-2]}{'AA' if valid[-2:] != 'AA' else 'BB'}"
    for token in ("", "nonsense", expired, foreign, admin, changed):
        assert (await caller.ask(token))[0] == 401, token
    assert (await caller.ask(valid))[0] == 200


@pytest.mark.parametrize("path", ["../manifest.json", "/etc/passwd", "a/../config.json", "a//b", ""])
async def test_no_path_leads_out_of_the_snapshot(caller: Caller, path: str) -> None:
    status, _ = await caller.ask(await caller.token(), body=_parts((path, 0, 1)))
    assert status == 400


async def test_a_link_in_the_snapshot_is_not_followed(caller: Caller) -> None:
    (file,) = caller.api.folders.rglob("config.json")
    file.unlink()
    file.symlink_to("/etc/hostname")
    assert (await caller.ask(await caller.token(), body=_parts(("config.json", 0, 1))))[0] == 409


async def test_more_than_is_allowed_at_once_is_refused_with_the_bound(caller: Caller) -> None:
    half = MAX_PARTS_BYTES // 2 + 1
    status, answer = await caller.ask(await caller.token(), body=_parts(("a", 0, half), ("a", 0, half)))
    assert status == 400
    assert f"at most {MAX_PARTS_BYTES}".encode() in answer
    status, answer = await caller.ask(await caller.token(), body=_parts(*[("config.json", 0, 1)] * 501))
    assert status == 400


async def test_what_a_file_does_not_have_breaks_the_answer(caller: Caller) -> None:
    status, answer = await caller.ask(await caller.token(), body=_parts(("config.json", 1, 5)))
    assert status == 503
    assert b"config.json has 2 bytes; 6 were asked for" in answer


async def test_requests_of_an_agent_at_once_are_bounded(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_files, "AT_ONCE_OF_AGENT", 1)
    (file,) = caller.api.folders.rglob("model.bin")
    size = 30 * 2**20
    with file.open("wb") as large:
        large.truncate(size)
    token = await caller.token()
    url = caller.api.url + PARTS_PATH.format(snapshot_id=caller.snapshot_id)
    headers = {"Authorization": f"Bearer {token}"}
    async with caller.http.post(url, json=_parts(("a/model.bin", 0, size)), headers=headers) as slow:
        assert slow.status == 200
        status, answer = await caller.ask(token)
        assert (status, b"found 1 requests of agent-1" in answer) == (429, True)

    async def free_again() -> bool:
        return (await caller.ask(token))[0] == 200

    await eventually(free_again)


async def test_the_progress_that_a_machine_reports_is_shown_with_the_replica(api: ManagerApi) -> None:
    slots = {"cpu": "1", "mem": "1g"}
    service = {"name": "chat", "runtime": "cmd", "image": "i", "command": "run", "port": 80, "slots": slots}
    await api.admin.call("POST", "/v1/services", service, expect=201)
    session_id, kernel_id = await api.runs("chat", healthy=False)
    inbox = NodeReports(api.pool, lambda *_: None)
    transfer = Transfer(
        phase="fetching", bytes_done=2**30, bytes_total=2**32, bytes_per_s=2**27, eta_s=24, problem="p" * 900
    )
    for sequence, progress in ((5, transfer), (6, None)):
        kernel = KernelReport(
            kernel_id=KernelId(kernel_id),
            session_id=SessionId(session_id),
            service_id=None,
            state="preparing",
            health="degraded",
            reason=Reason.of(KernelReason.FETCHING_FOLDER, "fetches its folder: 1.0 GiB of 4.0 GiB"),
            transfer=progress,
        )
        await inbox.heard([_report(sequence, kernel)])
        (replica,) = (await api.admin.call("GET", "/v1/services/chat"))["replica_list"]
        if progress is None:
            assert replica["transfer"] is None
            continue
        assert replica["reason"] == {"code": "fetching-folder", "text": "fetches its folder: 1.0 GiB of 4.0 GiB"}
        problem = replica["transfer"].pop("problem")
        assert len(problem) < 900
        assert replica["transfer"] == {
            "phase": "fetching",
            "bytes_done": 2**30,
            "bytes_total": 2**32,
            "bytes_per_s": 2**27,
            "eta_s": 24.0,
        }


def _report(sequence: int, kernel: KernelReport) -> NodeReport:
    machine = Machine(
        hostname="agent-1",
        architecture="x86_64",
        address="10.0.0.1",
        runtime="docker",
        version="1",
        slots={"cpu": "8", "mem": "1073741824"},
    )
    return NodeReport(
        agent_id="agent-1",
        incarnation="b",
        sequence=sequence,
        sent_at=utc_now(),
        applied_generation=1,
        machine=machine,
        kernels=(kernel,),
    )
