"""What the engine accepts and how it refuses the rest."""

from typing import Any

import pytest

from headrace.engine import calls
from headrace.engine.problems import BadRequest, ContextTooLong, UnknownModel
from headrace.engine.settings import Behaviour, Settings

SETTINGS = Settings(models=("m", "adapter"), max_model_len=100)
BEHAVIOUR = Behaviour(answer_tokens=10)
HELLO = [{"role": "user", "content": "hello there"}]


def chat(**body: Any) -> calls.Call:
    return calls.chat({"messages": HELLO, **body}, SETTINGS, BEHAVIOUR)


@pytest.mark.parametrize(
    ("body", "tokens", "reason"),
    [
        ({}, 10, "stop"),
        ({"max_tokens": 3}, 3, "length"),
        ({"max_tokens": 10}, 10, "stop"),
        ({"max_tokens": 50}, 10, "stop"),
        ({"max_tokens": None, "max_completion_tokens": 4}, 4, "length"),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5, "length"),
        ({"max_tokens": 5, "max_completion_tokens": 2}, 2, "length"),
        ({"max_tokens": 50, "ignore_eos": True}, 50, "length"),
    ],
)
def test_the_answers_length(body: dict[str, Any], tokens: int, reason: str) -> None:
    call = chat(**body)
    assert (len(call.tokens), call.finish_reason) == (tokens, reason)
    assert call.usage["total_tokens"] == call.prompt_tokens + tokens


def test_a_stop_word_ends_the_answer() -> None:
    second = chat().tokens[1].strip()
    call = chat(stop=[second])
    assert second not in "".join(call.tokens)
    assert call.finish_reason == "stop"


def test_a_short_answer_fits_the_room_that_the_prompt_leaves() -> None:
    call = calls.completion({"prompt": "word " * 95}, SETTINGS, BEHAVIOUR)
    assert (call.prompt_tokens, len(call.tokens), call.finish_reason) == (95, 5, "length")


def test_the_model_is_the_first_one_unless_another_is_named() -> None:
    assert chat().model == "m"
    assert chat(model="adapter").model == "adapter"
    with pytest.raises(UnknownModel, match="`x` does not exist; there is m, adapter"):
        chat(model="x")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"messages": [*HELLO, {"role": "user"}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "3"}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"n": 2}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": "x"}, "top_p"),
        ({"stream": 1}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": []}, "stream_options"),
        ({"stop": [""]}, "stop"),
        ({"model": 3}, "model"),
    ],
)
def test_a_bad_chat_is_refused_with_the_field(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        chat(**body)
    assert refused.value.param == param


def test_too_long_a_request_is_refused_with_the_numbers() -> None:
    with pytest.raises(ContextTooLong, match=r"100 tokens; 4 are in the prompt and 97 were asked for"):
        chat(max_tokens=97)
    assert chat(max_tokens=96).max_tokens == 96


def test_text_parts_are_read() -> None:
    parts = [{"type": "text", "text": "hello"}, {"type": "text", "text": "there"}]
    assert chat(messages=[{"role": "user", "content": parts}]).tokens == chat().tokens


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        calls.parse_body(raw)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": ["x"] * 257}, "input"),
        ({"input": ["x", "word " * 101]}, "input"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "x", "dimensions": 385}, "dimensions"),
    ],
)
def test_bad_embedding_requests_are_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        calls.embeddings(body, SETTINGS)
    assert refused.value.param == param
