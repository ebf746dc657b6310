"""Images of the engine: what is pulled, and what is said of an image that cannot be."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headrace.agent.runtime.docker.engine import EngineError
from headrace.agent.runtime.docker.images import Images
from headrace.agent.runtime.docker.registries import RegistryAllowList
from headrace.agent.runtime.interface import StartRefused
from headrace.common.contracts.messages.plans import RegistryLogin
from tests.support.wait import eventually

MIB = 2**20


class Engine:
    """Has images, and pulls with these messages; `gate`: a pull waits for it."""

    def __init__(self, *messages: Mapping[str, object], fails: Mapping[str, EngineError] | None = None) -> None:
        self.images: set[str] = set()
        self.pulled: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.messages: Sequence[Mapping[str, object]] = messages
        self.fails = fails or {}
        self.gate: asyncio.Event | None = None
        self.kept = True

    async def call(self, method: str, path: str, **_: object) -> Any:
        name = path.removeprefix("/images/").removesuffix("/json")
        if method in self.fails:
            raise self.fails[method]
        if name not in self.images:
            raise EngineError(404, "no such image")
        return {"Config": {"Cmd": ["serve"]}, "Architecture": "amd64"}

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        assert (method, path) == ("POST", "/images/create")
        if method in self.fails:
            raise self.fails[method]
        self.pulled.append(query["fromImage"])
        self.headers.append(headers)

        async def chunks() -> AsyncIterator[bytes]:
            for message in self.messages:
                yield json.dumps(message).encode() + b"\n"
            if self.gate is not None:
                await self.gate.wait()
            if self.kept:
                self.images |= {query["fromImage"], query["fromImage"].removesuffix(":latest")}

        yield chunks()


def images_of(engine: Engine, *, pull_timeout_s: float = 60) -> Images:
    registries = RegistryAllowList(("registry.corp",), only_listed=True)
    return Images(engine, registries, pull_timeout_s=pull_timeout_s)  # type: ignore[arg-type]  # a fake at the edge


async def refusal(engine: Engine, name: str = "registry.corp/a", *, pull_timeout_s: float = 60) -> tuple[str, str]:
    with pytest.raises(StartRefused) as refused:
        await images_of(engine, pull_timeout_s=pull_timeout_s).ensure(name, lambda _: None)
    return refused.value.reason.code, refused.value.reason.text


async def test_an_image_that_is_there_is_not_pulled() -> None:
    engine = Engine()
    engine.images.add("elsewhere.example/a")
    image = await images_of(engine).ensure("elsewhere.example/a", lambda _: None)
    assert (image.command, image.architecture) == (("serve",), "amd64")
    assert engine.pulled == []


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("registry.corp/a", "registry.corp/a:latest"),
        ("registry.corp/a:v1", "registry.corp/a:v1"),
        ("elsewhere.example/a", None),
        (f"registry.corp/a@sha256:{'0' * 64}", f"registry.corp/a@sha256:{'0' * 64}"),
    ],
)
async def test_without_a_tag_only_the_latest_is_pulled_and_from_no_other_registry(name: str, asked: str | None) -> None:
    engine = Engine()
    if asked is None:
        assert (await refusal(engine, name))[0] == "image-registry-refused"
    else:
        await images_of(engine).ensure(name, lambda _: None)
    assert engine.pulled == ([] if asked is None else [asked])


@pytest.mark.parametrize(
    ("name", "server"),
    [("registry.corp/a", "registry.corp"), ("acme/private", "https://index.docker.io/v1/")],
)
async def test_a_private_image_is_pulled_with_the_login_at_its_registry_and_others_with_none(
    name: str, server: str
) -> None:
    engine = Engine()
    registries = RegistryAllowList(("registry.corp",), only_listed=False)
    images = Images(engine, registries, pull_timeout_s=60)  # type: ignore[arg-type]  # a fake at the edge
    await images.ensure(name, lambda _: None, RegistryLogin(user="robot", password="pass:word"))
    await images.ensure(f"{name}-public", lambda _: None)
    sent = json.loads(base64.urlsafe_b64decode(engine.headers[0]["X-Registry-Auth"]))
    assert sent == {"username": "robot", "password": "pass:word", "serveraddress": server}
    assert engine.headers[1] == {}


async def test_a_pull_says_how_far_it_is_over_all_layers() -> None:
    def layer(name: str, current: int, status: str = "Downloading") -> Mapping[str, object]:
        return {"id": name, "status": status, "progressDetail": {"current": current * MIB, "total": 100 * MIB}}

    said: list[str] = []
    engine = Engine({"status": "Pulling"}, layer("a", 10), layer("b", 40), layer("a", 70), layer("a", 90, "Extracting"))
    await images_of(engine).ensure("registry.corp/a", said.append)
    begun = "pulling image registry.corp/a"
    assert said == [begun, f"{begun}: 10 of 100 MiB", f"{begun}: 50 of 200 MiB", f"{begun}: 110 of 200 MiB"]


async def test_kernels_that_want_the_same_image_wait_for_one_pull() -> None:
    engine = Engine()
    engine.gate = asyncio.Event()
    images = images_of(engine)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(images.ensure("registry.corp/a", lambda _: None))
        await eventually(lambda: engine.pulled)
        engine.gate.set()
    assert engine.pulled == ["registry.corp/a:latest"]


async def test_what_keeps_an_image_from_being_pulled_is_said_in_the_engines_words() -> None:
    cannot = "image registry.corp/a cannot be pulled: manifest unknown"
    assert await refusal(Engine({"error": "manifest unknown"})) == ("image-pull-failed", cannot)
    assert await refusal(Engine(fails={"POST": EngineError(500, "manifest unknown")})) == ("image-pull-failed", cannot)
    asked = await refusal(Engine(fails={"GET": EngineError(500, "disk on fire")}))
    assert asked == ("image-pull-failed", "image registry.corp/a: disk on fire")


async def test_a_pull_that_does_not_end_is_given_up_and_one_that_left_nothing_is_no_success() -> None:
    endless = Engine()
    endless.gate = asyncio.Event()
    code, text = await refusal(endless, pull_timeout_s=0.01)
    assert (code, text) == ("image-pull-failed", "image registry.corp/a was not pulled within 0.01 s")
    gone = Engine()
    gone.kept = False
    assert await refusal(gone) == ("image-pull-failed", "image registry.corp/a was pulled and is gone again")


async def test_what_is_no_image_name_never_reaches_the_engine() -> None:
    engine = Engine(fails={"GET": EngineError(500, "it was asked")})
    code, text = await refusal(engine, "../containers/json")
    assert code == "image-refused"
    assert "it was asked" not in text
