"""The fleet's base URL, `/v1`, as OpenAI's own client uses it: models are listed, and requests find their service by model."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import openai
import pytest
from aiohttp import web
from openai import AsyncOpenAI

from headrace.common.contracts.ids import ProjectId, TokenId, new_uuid
from headrace.common.contracts.messages.routes import Revocation, RouteTable
from tests.support.factories.route_tables import PROJECT, Signer, route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, Backend, Handler, backend, raw_request, running

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
ELSEWHERE = ProjectId(UUID(int=99))


Form: TypeAlias = dict[str, tuple[str | None, bytes | str]]


async def engine(request: web.Request) -> web.StreamResponse:
    """Answer as OpenAI's API does; what it says is the path and the model that it was asked for."""
    if request.path == "/v1/models":
        return web.json_response({"detail": "no such path"}, status=404)
    if request.path == "/v1/audio/transcriptions":
        form = await request.post()
        heard = form["file"]
        assert isinstance(heard, web.FileField)
        return web.json_response({"text": f"{form['model']!s} heard {len(heard.file.read())}"})
    body = await request.json()
    if body.get("stream"):
        return await _stream(request, body)
    message = {"role": "assistant", "content": f"{request.path} {body['model']}"}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    return web.json_response(
        {
            "id": "c1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": choices,
        }
    )


async def _stream(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for word in (request.path, " ", body["model"]):
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        await answer.write(f"data: {json.dumps(chunk)}\n\n".encode())
    if body["model"] != "cut":
        await answer.write(b"data: [DONE]\n\n")
        return answer
    assert request.transport is not None
    request.transport.abort()
    return answer


def asked(replica: Backend) -> int:
    """How many requests of callers it has seen."""
    return sum(request.path != "/v1/models" for request in replica.seen)


def lister(*names: str) -> Handler:
    """Return an engine that knows these names of models only."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            return web.json_response({"object": "list", "data": [{"id": name} for name in names]})
        heard = await engine(request)
        assert isinstance(heard, web.Response)
        said = json.loads(heard.body or b"{}")  # type: ignore[arg-type]
        name = said["model"] if "model" in said else said["text"].partition(" ")[0]
        return heard if name in names else web.json_response({"error": name}, status=404)

    return answer


class Shop:
    """Three services: `open` is public, `mine` is of the caller's project, `theirs` is of another one."""

    def __init__(self, world: AppProxyWorld, replicas: dict[str, Backend]) -> None:
        self.world = world
        self.replicas = replicas
        self.signer = Signer()
        self.tables = {
            "open": self._table("open", open_to_public=True, models=("cut",)),
            "mine": self._table("mine", models=("org/Llama-3:latest", "ada-adapter")),
            "theirs": self._table("theirs", models=("secret-model",), project_id=ELSEWHERE, project="acme"),
        }
        for one in self.tables.values():
            world.apply(one)

    def _table(self, name: str, **more: Any) -> RouteTable:
        known: dict[str, Any] = {"open_to_public": False, "token_keys": (self.signer.public,), "project": "home"}
        routes = (route(len(name), port=self.replicas[name].port),)
        return table(name, routes=routes, **(known | more))

    def client(self, subject: UUID | None = None) -> AsyncOpenAI:
        """Return a client with a token for a service or a project; of nobody's if nothing is said."""
        token = "none" if subject is None else self.signer.token(subject)
        return AsyncOpenAI(base_url=f"{self.world.url}/v1", api_key=token, max_retries=0, timeout=20)


@pytest.fixture
async def shop(world: AppProxyWorld) -> AsyncIterator[Shop]:
    """The services, each with one replica."""
    async with AsyncExitStack() as stack:
        replicas = {n: await stack.enter_async_context(backend(engine)) for n in ("open", "mine", "theirs")}
        yield Shop(world, replicas)


async def listed(client: AsyncOpenAI) -> list[str]:
    async with client:
        return [model.id async for model in client.models.list()]


async def test_a_caller_sees_the_models_that_it_may_use(shop: Shop) -> None:
    assert await listed(shop.client()) == ["home/open"]
    mine = ["ada-adapter", "cut", "mine", "open", "org/Llama-3:latest"]
    assert await listed(shop.client(PROJECT)) == mine
    assert await listed(shop.client(shop.tables["mine"].service_id)) == mine
    assert await listed(shop.client(ELSEWHERE)) == ["secret-model", "theirs", "home/open"]
    async with shop.client(PROJECT) as client:
        model = await client.models.retrieve("org/Llama-3:latest")
        assert (model.id, model.object, model.owned_by) == ("org/Llama-3:latest", "model", "home/mine")
        assert model.created > 1_600_000_000
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("secret-model")


async def test_a_token_that_does_not_hold_is_told_so_before_the_model_is_looked_up(shop: Shop) -> None:
    """Whatever the model is, and for the list too; the body is not waited for."""
    signer, revoked = shop.signer, new_uuid()
    gone = Revocation(token_id=TokenId(revoked), expires_at=datetime.now(UTC) + timedelta(hours=1))
    for name in ("mine", "open"):
        shop.world.apply(shop.tables[name].model_copy(update={"generation": 2, "revocations": (gone,)}))
    shown = {
        "expired-token": signer.token(PROJECT, lasts=timedelta(seconds=-5)),
        "revoked-token": signer.token(PROJECT, token_id=revoked),
        "bad-signature": Signer().token(PROJECT),
        "unknown-key": Signer("k2").token(PROJECT),
    }
    for why, token in shown.items():
        headers = {"authorization": f"Bearer {token}"}
        for model in ("mine", "home/open", "nobody"):
            answer = await shop.world.http.post(
                f"{shop.world.url}/v1/chat/completions", json={"model": model}, headers=headers
            )
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, why), model
            assert "bearer" in answer.headers["www-authenticate"].lower()
        listing = await shop.world.http.get(f"{shop.world.url}/v1/models", headers=headers)
        assert (listing.status_code, listing.json()["error"]["code"]) == (401, why)
        begun = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 9999999\r\n\r\n"
        assert (await raw_request(shop.world.port, begun.encode(), until=b"\r\n")).startswith(b"HTTP/1.1 401")
    robot = await shop.world.http.get(f"{shop.world.url}/v1/models", auth=("robot", "hrc_wrong"))
    assert (robot.status_code, robot.json()["error"]["code"]) == (401, "wrong-secret")
    assert all(not one.seen for one in shop.replicas.values())


async def test_where_nothing_is_public_a_token_is_asked_for_at_once(shop: Shop) -> None:
    shop.world.apply(shop.tables["open"].model_copy(update={"generation": 2, "open_to_public": False}))
    for headers, why in (({}, "missing-token"), ({"authorization": "Bearer none"}, "malformed-token")):
        answer = await shop.world.http.post(f"{shop.world.url}/v1/completions", content=b"junk", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, why)


@pytest.mark.parametrize("model", ["mine", "org/Llama-3:latest", "ada-adapter"])
async def test_a_request_goes_where_its_model_is(shop: Shop, model: str) -> None:
    async with shop.client(PROJECT) as client:
        whole = await client.chat.completions.create(model=model, **ASK)
        assert whole.choices[0].message.content == f"/v1/chat/completions {model}", (
            "the engine gets the name as it came"
        )
        stream = await client.chat.completions.create(model=model, stream=True, **ASK)
        said = [chunk.choices[0].delta.content async for chunk in stream]
        assert said == ["/v1/chat/completions", " ", model], "and the stream comes whole"
    assert [asked(one) for one in shop.replicas.values()] == [0, 2, 0]
    assert "Authorization" not in shop.replicas["mine"].seen[0].headers, "our token is not the engine's business"


async def test_without_a_token_the_public_ones_are_served(shop: Shop) -> None:
    url = f"{shop.world.url}/v1/chat/completions"
    for headers in ({}, {"authorization": "Bearer sk-none"}):  # what OpenAI's client insists on
        answer = await shop.world.http.post(url, json={"model": "home/open", **ASK}, headers=headers)
        assert (answer.status_code, answer.json()["model"]) == (200, "home/open")
    for model in ("mine", "open", "nobody"):
        asked = await shop.world.http.post(url, json={"model": model, **ASK})
        assert (asked.status_code, asked.json()["error"]["code"]) == (401, "missing-token")


@pytest.mark.parametrize("body", [{"model": "nobody"}, {"messages": []}])
async def test_an_error_in_openais_words_has_the_id_by_which_the_log_finds_it(
    shop: Shop, body: dict[str, object]
) -> None:
    headers = {"authorization": f"Bearer {shop.signer.token(PROJECT)}"}
    answer = await shop.world.http.post(f"{shop.world.url}/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code in (400, 404)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("model", ["nobody", "theirs", "secret-model", "mine/", "Mine"])
async def test_what_one_may_not_use_looks_as_if_it_were_not_there(shop: Shop, model: str) -> None:
    async with shop.client(PROJECT) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model=model, **ASK)
    error = caught.value
    assert (error.code, error.type, error.param) == ("model_not_found", "invalid_request_error", "model")
    assert caught.value.body == {
        "message": f"The model `{model}` does not exist or you do not have access to it.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }
    assert error.request_id, "which the log has too"
    assert all(not one.seen for one in shop.replicas.values())


async def test_an_answer_that_breaks_off_raises_in_the_client(shop: Shop) -> None:
    async with shop.client(PROJECT) as client:
        stream = await client.chat.completions.create(model="cut", stream=True, **ASK)
        with pytest.raises(openai.APIError) as caught:
            async for _ in stream:
                pass
    assert caught.value.code == "connection-lost"


async def test_a_service_that_cannot_serve_says_so_in_openais_words(shop: Shop) -> None:
    stopped = shop.tables["mine"].model_copy(update={"generation": 2, "routes": (), "wanted": 0, "stopped": True})
    shop.world.apply(stopped)
    async with shop.client(PROJECT) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="ada-adapter", **ASK)
    assert (caught.value.status_code, caught.value.code) == (503, "stopped")


@pytest.mark.parametrize("first", ["model", "file"])
async def test_an_upload_is_routed_by_its_field(shop: Shop, first: str) -> None:
    async with shop.client(PROJECT) as client:
        sound = io.BytesIO(b"RIFF" + b"\x00" * 20_000)
        sound.name = "speech.wav"
        if first == "model":
            heard = (await client.audio.transcriptions.create(model="ada-adapter", file=sound)).text
        else:
            form: Form = {"file": ("speech.wav", sound.getvalue()), "model": (None, "ada-adapter")}
            url, headers = f"{shop.world.url}/v1/audio/transcriptions", client.auth_headers
            heard = (await shop.world.http.post(url, files=form, headers=headers)).json()["text"]
    assert heard == "ada-adapter heard 20004"
    assert [asked(one) for one in shop.replicas.values()] == [0, 1, 0]


async def test_the_model_may_stand_behind_a_long_prompt(shop: Shop) -> None:
    """openai 1.x and 2.x write `messages` first."""
    url = f"{shop.world.url}/v1/chat/completions"
    text = 'say "model": ' * 100_000
    body = json.dumps({"messages": [{"role": "user", "content": text}], "model": "home/open"}).encode()
    whole = await shop.world.http.post(url, content=body)
    assert (whole.status_code, whole.json()["model"]) == (200, "home/open")

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 99_991):
            yield body[at : at + 99_991]

    chunked = await shop.world.http.post(url, content=pieces())
    assert (chunked.status_code, chunked.json()["model"]) == (200, "home/open")
    assert shop.world.plane.context.held_bodies.size == 0, "nothing is held any more"


async def test_a_form_may_have_its_file_first(shop: Shop) -> None:
    sound = os.urandom(3_000_000)
    form: Form = {"file": ("speech.wav", sound), "model": (None, "home/open")}
    heard = await shop.world.http.post(f"{shop.world.url}/v1/audio/transcriptions", files=form)
    assert heard.json() == {"text": "home/open heard 3000000"}


async def test_what_is_held_of_bodies_is_bounded(tmp_path: Path) -> None:
    async with running(tmp_path / "data", max_held_body_bytes=1024**2) as world, backend(engine) as replica:
        world.apply(table("open", routes=(route(port=replica.port),), project="home"))
        url = f"{world.url}/v1/chat/completions"
        prompt = "x" * 700_000
        late = json.dumps({"messages": prompt, "model": "home/open"}).encode()
        large = await world.http.post(url, content=json.dumps({"messages": prompt * 2, "model": "home/open"}))
        assert (large.status_code, large.json()["error"]["code"]) == (413, "body-too-large")
        early = await world.http.post(url, content=json.dumps({"model": "home/open", "messages": prompt * 2}))
        assert early.status_code == 200, "what names its model early is not held"
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(late)
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(head + late[:-100])
        held = world.plane.context.held_bodies
        await eventually(lambda: held.size > 600_000)
        second = await world.http.post(url, content=late)
        assert (second.status_code, second.json()["error"]["code"]) == (503, "bodies-full")
        assert second.headers["retry-after"] == "1"
        writer.write(late[-100:])
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        await eventually(lambda: held.size == 0)


@pytest.mark.parametrize(
    ("content", "fields", "status", "code", "word"),
    [
        (
            gzip.compress(mtime=0, data=b'{"model":"home/open"}'),
            {"content-encoding": "gzip"},
            415,
            "compressed_body",
            "compressed",
        ),
        (gzip.compress(mtime=0, data=b'{"model":"home/open"}'), {}, 415, "compressed_body", "compressed"),
        (b'\xef\xbb\xbf{"model":"home/open"}', {}, 400, "byte_order_mark", "byte order mark"),
        ('{"model":"home/open"}'.encode("utf-16"), {}, 400, "byte_order_mark", "UTF-8"),
        (b'{"model":"home/open",}', {}, 400, "not_json", "at character 21"),
        (b'{"model":"\xff"}', {}, 400, "not_json", "no UTF-8 at byte 10"),
        (b"model=open", {"content-type": "application/x-www-form-urlencoded"}, 400, "not_json", "multipart/form-data"),
    ],
)
async def test_a_body_that_cannot_be_read_is_told_why(
    shop: Shop, content: bytes, fields: dict[str, str], status: int, code: str, word: str
) -> None:
    answer = await shop.world.http.post(f"{shop.world.url}/v1/chat/completions", content=content, headers=fields)
    told = answer.json()["error"]
    assert (answer.status_code, told["code"]) == (status, code)
    assert word in told["message"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{}", "missing_model"),
        (b"", "not-found"),
        (b"nothing", "not_json"),
        (b"[" * 3000, "not_json"),
        (b'{"model": 1}', "wrong_type"),
        (b'{"model": "home/open", "model": "mine"}', "repeated_model"),
    ],
)
async def test_a_body_that_names_no_model_is_told_what_is_missing(shop: Shop, content: bytes, code: str) -> None:
    answer = await shop.world.http.post(f"{shop.world.url}/v1/chat/completions", content=content)
    assert answer.status_code == (404 if code == "not-found" else 400)
    assert answer.json()["error"]["code"] == code
    assert shop.replicas["open"].seen == []


async def test_a_model_that_moves_is_followed(shop: Shop) -> None:
    """An adapter's name goes from one service to another with the tables."""
    async with shop.client(PROJECT) as client:
        shop.world.apply(shop.tables["mine"].model_copy(update={"generation": 2, "models": ()}))
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="ada-adapter", **ASK)
        shop.world.apply(shop.tables["open"].model_copy(update={"generation": 2, "models": ("ada-adapter",)}))
        await client.chat.completions.create(model="ada-adapter", **ASK)
    await eventually(lambda: shop.world.open_requests == 0)
    assert [asked(one) for one in shop.replicas.values()] == [1, 0, 0]


@pytest.mark.parametrize("names", [("/models/llama", "ada"), ("chat",), ("x", "chat"), ("Llama-3-\u00e9" + "x" * 300,)])
async def test_the_name_that_is_listed_works_at_the_engine(world: AppProxyWorld, names: tuple[str, ...]) -> None:
    """Out of the box: an engine knows its model by a name of its own, which nobody has declared."""
    signer = Signer()
    async with backend(lister(*names)) as replica:
        world.apply(
            table(
                "chat",
                project="home",
                open_to_public=False,
                token_keys=(signer.public,),
                routes=(route(port=replica.port),),
            )
        )
        headers = {"authorization": f"Bearer {signer.token(PROJECT)}"}
        url = f"{world.url}/v1/chat/completions"
        used = "chat" if "chat" in names else names[0]
        long = [{"role": "user", "content": "x" * 200_000}]
        for body in (
            {"model": "chat", **ASK},
            {"messages": long, "model": "chat", "n": 1},
            {"model": "home/chat", "messages": long},
        ):
            answer = await world.http.post(url, json=body, headers=headers)
            assert (answer.status_code, answer.json()["model"]) == (
                200,
                names[0] if body["model"] == "home/chat" else used,
            )

        async def chunks() -> AsyncIterator[bytes]:
            yield b'{"messages": [], '
            yield b'"model": "chat"}'

        assert (await world.http.post(url, content=chunks(), headers=headers)).json()["model"] == used
        form: Form = {"file": ("speech.wav", b"x" * 100_000), "model": (None, "chat"), "n": (None, "1")}
        heard = await world.http.post(f"{world.url}/v1/audio/transcriptions", files=form, headers=headers)
        assert heard.json() == {"text": f"{used} heard 100000"}
        assert sum(request.path == "/v1/models" for request in replica.seen) == 1, "it is asked once"


async def ask_for(world: AppProxyWorld, model: str) -> str:
    """Return the model that the engine was asked for, or the status."""
    answer = await world.http.post(f"{world.url}/v1/chat/completions", json={"model": model, **ASK})
    return str(answer.json()["model"]) if answer.status_code == 200 else str(answer.status_code)


async def test_an_engine_that_cannot_say_its_names_yet_is_asked_again(world: AppProxyWorld) -> None:
    loading = [True]

    async def answer(request: web.Request) -> web.StreamResponse:
        if loading[0] and request.path == "/v1/models":
            return web.json_response({"error": "loading"}, status=503)
        return await lister("llama")(request)

    async with backend(answer) as replica:
        world.apply(table("chat", project="home", routes=(route(port=replica.port),)))
        assert await ask_for(world, "home/chat") == "404"
        loading[0] = False
        assert await ask_for(world, "home/chat") == "llama"


async def test_an_engine_that_never_says_its_names_is_not_asked_by_each_request(world: AppProxyWorld) -> None:
    asked = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            asked.append(request)
            await asyncio.Event().wait()
        return web.json_response({"model": (await request.json())["model"]})

    async with backend(answer) as replica:
        world.apply(table("chat", project="home", routes=(route(port=replica.port),)))
        for _ in range(3):
            assert await ask_for(world, "home/chat") == "home/chat", "as it came"
        assert len(asked) == 1


async def test_names_that_a_replica_says_at_an_address_that_it_left_do_not_count(world: AppProxyWorld) -> None:
    asked_there, say = asyncio.Event(), asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        asked_there.set()
        await say.wait()
        return await lister("old")(request)

    async with backend(late) as before, backend(lister("new")) as after:
        first = table("chat", project="home", routes=(route(port=before.port),))
        world.apply(first)
        asking = asyncio.create_task(ask_for(world, "home/chat"))
        await asked_there.wait()
        world.apply(first.model_copy(update={"generation": 2, "routes": (route(port=after.port),)}))
        say.set()
        await asking
        assert await ask_for(world, "home/chat") == "new"
