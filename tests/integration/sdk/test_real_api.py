"""The Python client against the manager's real API: every group of calls once, so that the two cannot drift apart."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import pytest

from headrace.common.contracts.http.folders import CreateFolder
from headrace.common.contracts.http.projects import CreateProject
from headrace.common.contracts.http.services import CreateService, ServiceDetail, UpdateService
from headrace.common.contracts.http.tokens import CreateToken
from headrace.common.contracts.http.users import CreateUser
from headrace.common.contracts.http.validations import StartValidation
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.rule import Comparator, MetricSource, RuleSpec
from headrace.common.db.pool import Pool
from headrace.sdk import ApiError, Client, ResumeFile, TreeError, WaitTimeoutError, uploads
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi, serving

CHUNK_BYTES = 4 * 1024 * 1024
CMD = RevisionSpec(runtime="cmd", image="img")


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[ManagerApi]:
    async with serving(pool, tmp_path) as running:
        yield running


@pytest.fixture
async def client(api: ManagerApi) -> AsyncIterator[Client]:
    made = Client(api.url, api.admin.key)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of which the server's limit on files, 10 MiB here, has room for several."""
    monkeypatch.setattr(uploads, "CHUNK_BYTES", CHUNK_BYTES)


async def blocking(work: Callable[[], object]) -> None:
    """Run calls of the synchronous client beside the server's loop."""
    await asyncio.to_thread(work)


async def test_people_and_projects(client: Client) -> None:
    def work() -> None:
        assert client.version().version
        assert client.whoami().user.operator
        project = client.projects.create(CreateProject(name="vision", quota={"cpu": 8}))
        assert client.projects.get("vision") == client.projects.get(str(project.id)) == project
        assert {p.name for p in client.projects.list()} == {"default", "vision"}
        client.users.create(CreateUser(name="ann"))
        assert "ann" in [u.name for u in client.users.list()]
        assert client.projects.put_member("vision", "ann", "member").role == "member"
        assert {m.user for m in client.projects.members("vision")} == {"admin", "ann"}
        assert client.projects.usage("vision").used.get("cpu", 0) == 0
        key = client.users.create_key("ann")
        with Client(client.url, key.key) as ann:
            assert ann.whoami().projects == {"vision": "member"}
            with pytest.raises(ApiError) as refused:
                ann.projects.get("default")
            assert (refused.value.status, refused.value.type) == (404, "not-found")
            client.users.delete_key("ann", key.id)
            with pytest.raises(ApiError) as refused:
                ann.whoami()
            assert refused.value.status == 401
        assert [k.id for k in client.users.keys("ann")] == []
        client.projects.remove_member("vision", "ann")
        client.projects.delete("vision")
        with pytest.raises(ApiError) as refused:
            client.projects.create(CreateProject.model_construct({"name"}, name="No Slug"))
        assert refused.value.errors[0]["field"] == "name"

    await blocking(work)


async def test_lists_go_on_over_pages(client: Client) -> None:
    def work() -> None:
        wanted = [f"user-{n:03d}" for n in range(205)]
        for name in wanted:
            client.users.create(CreateUser(name=name))
        assert [u.name for u in client.users.list() if u.name.startswith("user-")] == wanted

    await blocking(work)


async def test_files_up_and_down(client: Client, tmp_path: Path) -> None:
    content = bytes(range(256)) * (CHUNK_BYTES // 256 * 2 + 1)

    def work() -> None:
        folder = client.folders.create(CreateFolder(name="m"))
        client.folders.upload("m", content, "weights/a b ü.bin", project="default")
        client.folders.upload(folder.id, b"", "empty")
        found = {f.path: f for f in client.folders.files("m", recursive=True)}
        assert found["weights/a b ü.bin"].size_bytes == len(content)
        assert found["weights"].kind == "directory"
        client.folders.download("m", "weights/a b ü.bin", tmp_path / "down")
        assert (tmp_path / "down").read_bytes() == content
        assert client.folders.read("m", "empty") == b""
        with pytest.raises(ApiError) as refused:
            client.folders.upload("m", b"x", "../escape")
        assert refused.value.status == 400
        with pytest.raises(ApiError) as refused:
            client.folders.upload("m", b"x" * 11 * 1024 * 1024, "too-large")
        assert refused.value.type == "too-large"
        assert client.folders.make_directory("m", "old/ones").kind == "directory"
        assert client.folders.move("m", "weights", "old/ones/1").path == "old/ones/1"
        assert "old/ones/1/a b ü.bin" in {f.path for f in client.folders.files("m", recursive=True)}
        client.folders.delete_file("m", "old")
        assert client.folders.rename("m", "renamed").id == folder.id
        assert client.folders.rename(folder.id, "m").name == "m"
        assert [f.path for f in client.folders.files("m")] == ["empty"]
        client.folders.delete("m")
        assert list(client.folders.list()) == []
        assert [deleted.id for deleted in client.folders.trash()] == [folder.id]
        assert client.folders.restore(folder.id, name="again").name == "again"
        client.folders.delete("again")
        client.folders.purge("again")
        assert list(client.folders.trash(project="default")) == []

    await blocking(work)


async def test_an_upload_goes_on_in_another_process(client: Client) -> None:
    content = b"y" * (2 * CHUNK_BYTES)

    def work() -> None:
        client.folders.create(CreateFolder(name="m"))
        created: list[str] = []

        class GoneError(Exception):
            """The first process dies in its second part."""

        def die(done: int, _: int) -> None:
            if done > CHUNK_BYTES:
                raise GoneError

        with pytest.raises(GoneError):
            client.folders.upload("m", content, "a", on_created=created.append, progress=die)
        first: list[int] = []
        client.folders.upload("m", content, "a", resume=created[0], progress=lambda done, _: first.append(done))
        assert CHUNK_BYTES <= first[0] < 2 * CHUNK_BYTES
        assert client.folders.read("m", "a") == content
        # What is complete is no upload any more: it starts anew and replaces.
        client.folders.upload("m", content[::-1], "a", resume=created[0])
        client.folders.upload("m", b"short", "b", on_created=created.append)
        with pytest.raises(ApiError):
            client.folders.cancel_upload("m", created[-1])

    await blocking(work)


class Seen:
    """A TreeProgress that remembers."""

    def __init__(self) -> None:
        self.total = -1
        self.done: dict[str, int] = {}

    def begin(self, total_bytes: int) -> None:
        self.total = total_bytes

    def moved(self, path: str, done_bytes: int, _size_bytes: int) -> None:
        self.done[path] = done_bytes


async def test_a_folder_goes_up_and_comes_down_as_it_was_and_what_is_no_file_is_named(
    api: ManagerApi, client: Client, tmp_path: Path
) -> None:
    source, to = tmp_path / "source", tmp_path / "to"
    content = {
        "a.bin": b"a" * (2 * CHUNK_BYTES),
        "b/c": b"c",
        "b/d/e": b"",
        **{f"many/{n:03}": b"%d" % n for n in range(600)},
    }
    for path, data in content.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(data)
    (source / "empty/too").mkdir(parents=True)
    (source / "out").symlink_to(tmp_path)
    (source / "no").mkdir()

    def files(below: Path) -> dict[str, bytes]:
        return {str(path.relative_to(below)): path.read_bytes() for path in below.rglob("*") if path.is_file()}

    def up() -> str:
        folder = client.folders.create(CreateFolder(name="m"))
        seen = Seen()
        sent = client.folders.upload_tree(
            "m", source, "v1", project="default", resume=ResumeFile(tmp_path / "open.json"), progress=seen
        )
        assert sorted(file.path for file in sent.files) == sorted(f"v1/{path}" for path in content)
        assert sent.directories == ("v1/empty/too", "v1/no")
        assert [(row.path, row.reason, row.lasting) for row in sent.left_out] == [
            (f"{source}/out", "a link to a directory", True)
        ]
        assert seen.total == sent.moved_bytes == sum(seen.done.values()) == sum(map(len, content.values()))
        again = client.folders.upload_tree(folder, [source], "v1")
        assert (again.files, len(again.same)) == ((), len(content))
        return str(folder.id)

    folder_id = await asyncio.to_thread(up)
    there = tmp_path / "folders" / folder_id / "v1"
    (there / "b/link").symlink_to("c")
    (there / "only").mkdir()
    os.mkfifo(there / "only/pipe")

    def down() -> None:
        seen = Seen()
        came = client.folders.download_tree("m", to, "v1", progress=seen)
        assert files(to / "v1") == content == files(source)
        assert {str(path.relative_to(to / "v1")) for path in to.rglob("*") if path.is_dir()} == {
            ".",
            "b",
            "b/d",
            "empty",
            "empty/too",
            "many",
            "no",
            "only",
        }
        assert [(row.path, row.reason, row.lasting) for row in came.left_out] == [
            ("v1/b/link", "a link", True),
            ("v1/only/pipe", "a special file", True),
        ]
        assert seen.total == came.moved_bytes == sum(seen.done.values())
        again = client.folders.download_tree("m", to)
        assert (again.files, len(again.same), len(again.left_out)) == ((), len(content), 2)
        kinds = {view.path: view.kind for view in client.folders.files("m", "v1/b", everything=True)}
        assert kinds == {"v1/b/c": "file", "v1/b/d": "directory", "v1/b/link": "link"}
        with pytest.raises(TreeError, match="there is no v2 in m"):
            client.folders.download_tree("m", to, "v2")

    await blocking(down)


async def test_services(api: ManagerApi, client: Client) -> None:
    def create() -> ServiceDetail:
        assert client.services.available("chat").available
        made = client.services.create(CreateService(name="chat", runtime="cmd", image="img", environ={"A": "b"}))
        assert not client.services.available("chat").available
        return made

    made = await asyncio.to_thread(create)
    await api.runs("chat")

    def work() -> None:
        assert client.services.get("chat").id == client.services.get(made.id).id == made.id
        assert client.services.wait("chat", timeout_s=10) is not None
        assert [s.name for s in client.services.list(mine=True, status="healthy", q="ha", project="default")] == [
            "chat"
        ]
        assert list(client.services.list(phase="stopped")) == []
        assert client.services.scale("chat", 2, message="more").replicas == 2
        changed = client.services.update("chat", UpdateService(spec=CMD, description="d", message="new image"))
        assert (changed.revision, changed.description) == (2, "d")
        assert [r.number for r in client.services.revisions("chat")] == [1, 2]
        assert client.services.rollback("chat", 1, message="back").revision == 1, "which serves still"
        assert [h.message for h in client.services.history("chat")][:2] == ["back", "new image"]
        assert next(client.services.decisions("chat")).to_replicas == 2
        assert client.services.retry("chat").name == "chat"
        assert client.services.failed_replicas("chat") == []
        assert client.services.stop("chat").phase in {"stopping", "stopped"}
        assert client.services.start("chat").name == "chat"
        going = client.services.delete("chat")
        assert going is not None
        with pytest.raises(WaitTimeoutError):
            client.services.wait("chat", "gone", timeout_s=0)

    await blocking(work)


async def test_tokens_and_rules(client: Client) -> None:
    rule = RuleSpec(
        source=MetricSource.INFERENCE_FRAMEWORK,
        metric="vllm:num_requests_waiting",
        comparator=Comparator.GREATER_THAN,
        threshold=3,
        step=1,
        max_replicas=4,
    )

    def work() -> None:
        client.services.create(CreateService(name="chat", runtime="cmd", image="img"))
        token = client.tokens.create("chat", CreateToken(name="app", expires_in_s=60))
        assert token.token.count(".") == 2
        client.tokens.revoke("chat", token.id)
        (left,) = client.tokens.list("chat")
        assert left.revoked_at is not None
        made = client.rules.create("chat", rule)
        changed = client.rules.replace("chat", made.id, rule.model_copy(update={"threshold": 5.0}))
        assert [r.spec.threshold for r in client.rules.list("chat")] == [5.0] == [changed.spec.threshold]
        client.rules.delete("chat", made.id)
        assert list(client.rules.list("chat")) == []

    await blocking(work)


async def test_logs(api: ManagerApi, client: Client) -> None:
    await asyncio.to_thread(lambda: client.services.create(CreateService(name="chat", runtime="cmd", image="img")))
    session, kernel = await api.runs("chat")
    api.behind.logs[kernel] = [f"2026-01-01T00:00:0{n}Z line {n}" for n in range(5)]

    def work() -> None:
        assert list(client.services.logs("chat", replica=session, tail=2)) == api.behind.logs[kernel][3:]
        assert len(list(client.services.logs("chat", everything=True))) == 5

    def follow() -> list[str]:
        with client.services.logs("chat", replica=session, tail=1, follow=True) as lines:
            return [next(lines), next(lines)]

    await blocking(work)
    following = asyncio.create_task(asyncio.to_thread(follow))
    await eventually(lambda: api.behind.reading)
    await api.behind.say(kernel, "2026-01-01T00:00:09Z later")
    assert (await following)[1].endswith("later")


async def test_machines_and_validations(api: ManagerApi, client: Client) -> None:
    await api.machine("agent-1")

    def work() -> None:
        assert [a.id for a in client.agents.list()] == ["agent-1"]
        assert client.agents.get("agent-1").runtime == "docker"
        started = client.validations.start(StartValidation(runtime="cmd", image="img"))
        assert client.validations.get(started.id).done is False
        with pytest.raises(WaitTimeoutError):
            client.validations.wait(started.id, timeout_s=0)
        client.validations.stop(started.id)
        with pytest.raises(ApiError):
            client.validations.get(UUID(int=1))

    await blocking(work)
