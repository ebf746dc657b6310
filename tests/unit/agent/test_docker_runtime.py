"""The Docker runtime over engines that list their containers slowly, refuse calls, or do not answer."""

from __future__ import annotations

import asyncio
import io
import re
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from typing import Any

import pytest

from headrace.agent.runtime.docker import runtime as docker_runtime
from headrace.agent.runtime.docker.container import ContainerDefaults, Image, container_name
from headrace.agent.runtime.docker.engine import EngineError
from headrace.agent.runtime.docker.firewall import Firewall
from headrace.agent.runtime.docker.networks import NetworkPolicy, SessionNetworks
from headrace.agent.runtime.docker.registries import RegistryAllowList
from headrace.agent.runtime.docker.runtime import DockerRuntime
from headrace.agent.runtime.docker.shell import ContainerShell
from headrace.agent.runtime.interface import ActionFailed, PortTaken, Prepared, RuntimeUnavailable, StartRefused
from headrace.common.contracts.ids import KernelId, SessionId, new_uuid
from headrace.common.contracts.reasons.kernel import KernelReason
from tests.unit.agent.test_convergence import spec_of

KERNEL, SESSION = KernelId(new_uuid()), str(new_uuid())
POLICY = NetworkPolicy(None, IPv4Network("10.213.0.0/16"), 27, "off", local_engine=False)


def over(engine: object, policy: NetworkPolicy = POLICY) -> DockerRuntime:
    return DockerRuntime(
        engine,  # type: ignore[arg-type]
        SessionNetworks(engine, "a", "/data", policy, Firewall("/data", ())),  # type: ignore[arg-type]
        RegistryAllowList((), only_listed=False),
        agent_id="a",
        host="127.0.0.1",
        common=ContainerDefaults("/data", "127.0.0.1", pids=100, shm_bytes=2**20),
        pull_timeout_s=1.0,
    )


class SlowEngine:
    """Holds one container and its session's network. The answer to a list of containers comes when its event is set."""

    local = False

    def __init__(self, *answers: asyncio.Event) -> None:
        self.containers = {container_name("a", KERNEL)}
        self.networks = {"n1"}
        self.answers = list(answers)
        self.listed = [asyncio.Event() for _ in answers]

    async def call(self, method: str, path: str, **_: object) -> Any:
        match method, path:
            case "GET", "/containers/json":
                rows = [self._row() for _ in self.containers]
                self.listed[-len(self.answers)].set()
                await self.answers.pop(0).wait()
                return rows
            case "GET", "/networks":
                return [{"Id": one, "Name": one, "Labels": {"headrace.session": SESSION}} for one in self.networks]
            case "DELETE", _ if path.startswith("/networks/"):
                self.networks.remove(path.rpartition("/")[2])
            case "DELETE", _:
                self.containers.clear()
        return {"Mounts": []}

    def _row(self) -> dict[str, Any]:
        labels = {"headrace.kernel": str(KERNEL), "headrace.session": SESSION, "headrace.port": "20001"}
        return {"Id": "c1", "State": "running", "Created": 0, "Labels": labels}


async def test_a_sessions_network_goes_with_its_last_container_though_another_task_listed_them_just_before() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    engine = SlowEngine(first, second)
    runtime = over(engine)
    look = asyncio.create_task(runtime.list())
    await engine.listed[0].wait()
    removal = asyncio.create_task(runtime.remove(KERNEL))
    await engine.listed[1].wait()
    first.set()
    assert set(await look) == {KERNEL}, "listed before it went"
    second.set()
    await removal
    assert engine.networks == set()


AMD64 = {"Config": {"User": "1000:1000"}, "Architecture": "amd64"}
INFO = {"Name": "m", "Architecture": "x86_64", "NCPU": 2, "MemTotal": 2**30, "DockerRootDir": ""}
SPEC = spec_of(KERNEL).model_copy(update={"image": "thing:1", "command": ("serve",), "port": 8000})
PREPARED = Prepared(20001, (), False, progress=lambda _: None)


class ScriptedEngine:
    """Answers a call by the first pattern that its method and path match: with a value, an error to raise, or an event to
    wait for. It has an image for this machine, and nothing else.
    """

    local = False

    def __init__(self, answers: dict[str, Any] | None = None) -> None:
        usual = {
            r"GET /info": INFO,
            r"GET /images/.*": AMD64,
            r"GET /networks": [],
            r"GET /containers/json": [],
            r"(GET|DELETE) /containers/.*": EngineError(404, "No such container"),
            r"HEAD .*": True,
        }
        given = answers or {}
        self.answers = {**given, **{pattern: answer for pattern, answer in usual.items() if pattern not in given}}
        self.calls: list[str] = []

    async def _answer(self, call: str) -> Any:
        self.calls.append(call)
        for pattern, answer in self.answers.items():
            if re.fullmatch(pattern, call):
                if isinstance(answer, Exception):
                    raise answer
                if isinstance(answer, asyncio.Event):
                    await answer.wait()
                return answer
        return None

    async def call(self, method: str, path: str, **_: object) -> Any:
        return await self._answer(f"{method} {path}")

    async def missing(self, path: str, query: dict[str, str]) -> bool:
        return bool(await self._answer(f"HEAD {path} {query['path']}"))

    async def read(self, path: str, *, query: dict[str, str], limit: int) -> bytes:
        content = await self._answer(f"READ {path} {query['path']}")
        assert len(content) <= limit
        return bytes(content)

    @asynccontextmanager
    async def stream(self, method: str, path: str, **_: object) -> AsyncIterator[AsyncIterator[bytes]]:
        found = await self._answer(f"{method} {path}")

        async def chunks() -> AsyncIterator[bytes]:
            yield found

        yield chunks()

    def asked(self, pattern: str) -> int:
        return sum(re.fullmatch(pattern, call) is not None for call in self.calls)


async def test_without_an_image_nothing_starts() -> None:
    engine = ScriptedEngine()
    with pytest.raises(StartRefused, match="needs an image") as refused:
        await over(engine).start(SPEC.model_copy(update={"image": None}), PREPARED, None)
    assert refused.value.reason.code == KernelReason.NO_IMAGE
    assert engine.calls == []


async def test_an_image_for_other_machines_is_refused_by_name_of_both() -> None:
    engine = ScriptedEngine({r"GET /images/.*": AMD64 | {"Architecture": "arm64"}})
    with pytest.raises(StartRefused, match="made for arm64, and this machine is x86_64"):
        await over(engine).start(SPEC, PREPARED, None)
    assert not engine.asked("POST .*")


@pytest.mark.parametrize(
    ("call", "error", "kind", "text"),
    [
        (r"POST /containers/create", "bad mount", StartRefused, "cannot be created: bad mount"),
        (r"POST /containers/.*/start", "no such device", StartRefused, "cannot be started: no such device"),
        (r"POST /containers/.*/start", "bind: address already in use", PortTaken, "address already in use"),
        (r"PUT /containers/.*/archive", "read-only", StartRefused, "/home/work: read-only"),
    ],
)
async def test_a_start_that_the_engine_refuses_says_its_words_and_leaves_nothing(
    call: str, error: str, kind: type[StartRefused], text: str
) -> None:
    engine = ScriptedEngine({call: EngineError(500, error), r"DELETE .*": None})
    runtime = over(engine)
    with pytest.raises(kind, match=text):
        await runtime.start(SPEC, PREPARED, None)
    assert engine.asked(r"DELETE /containers/.*") == 2, "what was there before, and what this start made"


@pytest.mark.parametrize("status", [404, 409])
async def test_a_container_that_does_not_run_is_stopped(status: int) -> None:
    engine = ScriptedEngine({r"POST .*/kill": EngineError(status, "not running")})
    await over(engine).stop(KERNEL, 5.0)
    assert engine.asked("POST .*") == 1


async def test_a_container_that_went_while_its_end_was_waited_for_is_stopped() -> None:
    engine = ScriptedEngine({r"POST .*/wait": EngineError(404, "gone")})
    await over(engine).stop(KERNEL, 5.0)
    assert engine.asked(r"POST .*/kill") == 1


async def test_a_container_that_cannot_be_stopped_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_runtime, "KILL_S", 0.01)
    with pytest.raises(RuntimeUnavailable, match="cannot be stopped: busy"):
        await over(ScriptedEngine({r"POST .*/kill": EngineError(500, "busy")})).stop(KERNEL, 0.0)
    hangs = ScriptedEngine({r"POST .*/wait": asyncio.Event()})
    with pytest.raises(RuntimeUnavailable, match=r"did not end within 0\.01 s of SIGKILL"):
        await over(hangs).stop(KERNEL, 0.0)
    assert hangs.asked(r"POST .*/kill") == 2


@pytest.mark.parametrize(
    ("call", "status", "text"),
    [
        (r"DELETE .*", 409, "cannot be removed yet: in progress"),
        (r"DELETE .*", 500, "cannot be removed: in progress"),
        (r"GET /containers/.*/json", 500, "cannot be looked at: in progress"),
    ],
)
async def test_a_container_that_cannot_be_removed_is_told(call: str, status: int, text: str) -> None:
    with pytest.raises(RuntimeUnavailable, match=text):
        await over(ScriptedEngine({call: EngineError(status, "in progress")})).remove(KERNEL)


async def test_the_log_of_a_container_that_is_gone_is_empty_and_one_that_cannot_be_read_is_told() -> None:
    async def lines(status: int) -> list[str]:
        runtime = over(ScriptedEngine({r"GET .*/logs": EngineError(status, "no driver")}))
        return [line async for batch in runtime.logs(KERNEL, tail=None, follow=False) for line in batch]

    assert await lines(404) == []
    with pytest.raises(RuntimeUnavailable, match="cannot be read: no driver"):
        await lines(500)


async def test_what_a_container_that_just_ended_used_or_listens_on_is_not_known() -> None:
    labels = {"headrace.kernel": str(KERNEL), "headrace.session": SESSION, "headrace.port": "20001"}
    row = {"Id": "c1", "State": "running", "Created": 0, "Labels": labels}
    runtime = over(ScriptedEngine({r"GET /containers/json": [row]}))
    assert await runtime.usage() == {}
    assert await runtime.listens(SPEC, 8000) is None
    assert await runtime.port_problem(KERNEL, 8000) is None


async def test_one_network_for_all_is_used_and_never_swept() -> None:
    engine = ScriptedEngine()
    networks = SessionNetworks(
        engine,  # type: ignore[arg-type]
        "a",
        "/data",
        NetworkPolicy("everybody", POLICY.pool, POLICY.prefix, "off", local_engine=False),
        Firewall("/data", ()),
    )
    async with networks.of(SessionId(new_uuid())) as name:
        assert name == "everybody"
    await networks.sweep(set(), networks.requested)
    isolation = await networks.isolation()
    assert (isolation.level, engine.calls) == ("none", [])
    assert "everybody" in isolation.text


async def test_a_session_without_the_packet_filter_that_is_required_does_not_start() -> None:
    engine = ScriptedEngine()
    policy = NetworkPolicy(None, POLICY.pool, POLICY.prefix, "required", local_engine=False)
    with pytest.raises(StartRefused, match="the engine is not on the agent's machine") as refused:
        await over(engine, policy).start(SPEC, PREPARED, None)
    assert refused.value.reason.code == KernelReason.ISOLATION_UNAVAILABLE
    assert not engine.asked("POST .*")


async def test_a_session_whose_network_the_engine_refuses_says_so_after_a_bounded_number_of_subnets() -> None:
    engine = ScriptedEngine({r"POST /networks/create": EngineError(403, "pool overlaps")})
    with pytest.raises(StartRefused, match="no network could be made for its session: pool overlaps") as refused:
        await over(engine).start(SPEC, PREPARED, None)
    assert refused.value.reason.code == KernelReason.NETWORK_UNAVAILABLE
    assert engine.asked(r"POST /networks/create") == 16


def tar_of(name: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


def shell(engine: ScriptedEngine, user: str = "1000:1000") -> ContainerShell:
    return ContainerShell(engine, "c", Image((), (), user, ""))  # type: ignore[arg-type]


async def test_what_the_engine_refuses_of_an_action_fails_it_with_its_words() -> None:
    inside = shell(ScriptedEngine({r"PUT .*": EngineError(403, "read-only"), r"POST .*": EngineError(409, "paused")}))
    with pytest.raises(ActionFailed, match="a/b: read-only"):
        await inside.write("a/b", b"x", 0o644, append=False)
    with pytest.raises(ActionFailed, match="/c: read-only"):
        await inside.mkdir("/c")
    with pytest.raises(ActionFailed, match="paused"):
        await inside.run(["true"])


async def test_appending_begins_a_file_that_is_missing_and_refuses_what_cannot_be_read_or_is_none() -> None:
    missing = ScriptedEngine({r"READ .*": EngineError(404, "none")})
    await shell(missing).write("/f", b"x", 0o644, append=True)
    assert missing.asked(r"PUT .*") == 1
    with pytest.raises(ActionFailed, match="/f: more than"):
        await shell(ScriptedEngine({r"READ .*": EngineError(413, "more than that")})).write(
            "/f", b"x", 0o644, append=True
        )
    with pytest.raises(ActionFailed, match="it is not a file"):
        await shell(ScriptedEngine({r"READ .*": tar_of("f", b"")[512:] + bytes(1024)})).write(
            "/f", b"x", 0o644, append=True
        )


async def test_an_images_user_by_name_is_looked_up_in_the_image() -> None:
    passwd = b"root:x:0:0::/root:/bin/sh\nworker:x:1234:1235::/:/bin/sh\n"
    engine = ScriptedEngine({r"READ .* /etc/passwd": tar_of("passwd", passwd)})
    await shell(engine, "worker").mkdir("/made")
    with pytest.raises(ActionFailed, match="user nobody is not in its /etc/passwd"):
        await shell(engine, "nobody").mkdir("/made")
    await shell(engine, "").make_home()
