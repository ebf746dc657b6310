"""The engine as OpenAI's own client sees it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.integration.engine.conftest import Start
from tests.support.servers import ModelServer

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How does a mill work?"}]


@pytest.fixture
def client(engine: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{engine.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["m", "lora"]


def test_chat_whole_and_streamed_are_the_same(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="m", messages=ASK, max_tokens=20)
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 20
    stream = client.chat.completions.create(
        model="m", messages=ASK, max_tokens=20, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_completions_whole_and_streamed_are_the_same(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="lora", prompt="A mill", max_tokens=5)
    stream = client.completions.create(model="lora", prompt="A mill", max_tokens=5, stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"


def test_the_stream_is_server_sent_events_that_end_with_done(engine: ModelServer) -> None:
    body = {"messages": ASK, "max_tokens": 3, "stream": True}
    with engine.http.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = response.read().decode().split("\n\n")
    assert all(event.startswith("data: ") for event in events[:-1])
    assert events[-2:] == ["data: [DONE]", ""]
    assert [json.loads(e.removeprefix("data: "))["object"] for e in events[:-2]] == ["chat.completion.chunk"] * 5


def test_tokens_arrive_one_by_one_at_the_pace_that_is_set(start: Start) -> None:
    engine = start("--time-to-first-token-s", "0.3", "--time-per-token-s", "0.1")
    began = time.monotonic()
    with openai.OpenAI(base_url=f"{engine.url}/v1", api_key="none") as client:
        stream = client.chat.completions.create(model="m", messages=ASK, max_tokens=5, stream=True)
        at = [time.monotonic() - began for chunk in stream if chunk.choices[0].delta.content]
    assert len(at) == 5
    assert [number for number, moment in enumerate(at) if moment < 0.3 + 0.1 * number] == [], "earlier than its pace"


def test_embeddings_as_floats_and_as_base64_are_the_same_unit_vectors(client: openai.OpenAI) -> None:
    texts = ["the mill turns", "the mill turns", "bread and jam"]
    packed = client.embeddings.create(model="m", input=texts)  # the client asks for base64 by itself
    plain = client.embeddings.create(model="m", input=texts, encoding_format="float")
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-7)
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-6)
    assert packed.data[0].embedding == packed.data[1].embedding != packed.data[2].embedding
    assert packed.usage.prompt_tokens == 9


def test_errors_are_openais(client: openai.OpenAI, engine: ModelServer) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt", messages=ASK)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model="m", prompt="word " * 9_000)
    assert (long.value.code, long.value.param) == ("context_length_exceeded", "prompt")
    for path, sent, status in [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/nothing", b"{}", 404),
        ("/health", b"{}", 405),
        ("/v1/completions", b"x" * (9 << 20), 413),
    ]:
        answer = engine.http.post(path, content=sent)
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert engine.http.get("/debug/requests").json()["started"] == 0


def test_settings_come_from_the_environment(start: Start) -> None:
    engine = start(env={"HEADRACE_ENGINE_ANSWER_TOKENS": "3", "HEADRACE_ENGINE_TIME_PER_TOKEN_S": "0"})
    usage = engine.http.post("/v1/chat/completions", json={"messages": ASK}).json()["usage"]
    assert usage["completion_tokens"] == 3
