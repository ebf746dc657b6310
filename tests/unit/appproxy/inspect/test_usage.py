"""Tokens and events are told the same however an answer is cut, and nothing that an engine sends raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.inspect.usage import (
    TAIL_BYTES,
    UsageFormat,
    UsageReader,
    audio_ms_of,
    cost,
    tokens_of,
    usage_kind,
)

NAMES = ("prompt_tokens", "completion_tokens", "total_tokens")
USAGE = {"prompt_tokens": 11, "total_tokens": 18, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 3}}


def read(kind: UsageFormat, body: bytes, *sizes: int) -> UsageReader:
    usage = UsageReader(kind)
    at = 0
    for now, size in enumerate((*sizes, len(body))):
        if body[at : at + size]:
            usage.feed(body[at : at + size], float(now))
        at += size
    return usage


def event(**members: Any) -> bytes:
    return b"data: " + json.dumps(members).encode() + b"\n\n"


def test_a_json_answer_tells_its_tokens_wherever_they_are() -> None:
    text = {"message": {"content": 'I say "usage": {"prompt_tokens": 999}'}}
    for body in ({"choices": [text], "usage": USAGE}, {"usage": USAGE, "choices": [text], "data": "x" * 200_000}):
        usage = read("json", json.dumps(body).encode())
        assert (usage.tokens, cost(usage.tokens), usage.events) == ((11, 7, 18), 18, 0)
        assert tokens_of(json.dumps(body).encode()) == usage.tokens
    assert read("json", json.dumps({"a": "x" * 99_000, "usage": USAGE, "b": "x" * 99_000}).encode()).tokens == (
        None,
        None,
        None,
    )


def test_a_stream_tells_its_tokens_and_events() -> None:
    pieces = [event(choices=[1], usage=None), event(choices=[2]), event(choices=[], usage=USAGE), b"data: [DONE]\n\n"]
    usage = UsageReader("events")
    for now, piece in enumerate(pieces):
        usage.feed(piece, 10.0 + now / 2)
    assert usage.tokens == (11, 7, 18)
    assert (usage.events, usage.first_s, usage.last_s, usage.seconds_per_event) == (4, 10.0, 11.5, 0.5)


@pytest.mark.parametrize(
    ("usage", "tokens", "total"),
    [
        ({"input_tokens": 3, "output_tokens": 4}, (3, 4, None), 7),
        ({"prompt_tokens": 5, "total_tokens": 5}, (5, None, 5), 5),
        ({"total_tokens": 9}, (None, None, 9), 9),
        ({"prompt_tokens": -1, "completion_tokens": True}, (None, None, None), None),
        ({"prompt_tokens": 10**9, "completion_tokens": 10**9 - 1}, (None, 10**9 - 1, None), 10**9 - 1),
        ({"prompt_tokens": 1.5, "completion_tokens": "7"}, (None, None, None), None),
        ({}, (None, None, None), None),
    ],
)
def test_only_whole_numbers_count(usage: dict[str, Any], tokens: tuple[int | None, ...], total: int | None) -> None:
    found = read("json", json.dumps({"usage": usage}, indent=1).encode())
    assert (found.tokens, cost(found.tokens)) == (tokens, total)


def test_the_last_usage_counts_and_earlier_ones_fill_in() -> None:
    body = (
        event(usage={"input_tokens": 25, "output_tokens": 1})
        + event(usage={"output_tokens": 15})
        + b'data: {"usage": {"output_tokens": 99'
    )
    assert read("events", body).tokens == (25, 15, None)


def test_tokens_asked_for_in_between_are_brought_up_to_date() -> None:
    usage = UsageReader("events")
    usage.feed(event(usage={"prompt_tokens": 1, "completion_tokens": 1}), 0.0)
    assert cost(usage.tokens) == 2
    usage.feed(event(usage={"prompt_tokens": 1, "completion_tokens": 2}), 1.0)
    assert cost(usage.tokens) == 3


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"application/json", True),
        (b"Application/JSON; charset=utf-8", True),
        (b"text/event-stream;charset=utf-8", True),
        (b"text/html", False),
        (b"", False),
        (b"application/jsonl", False),
    ],
)
def test_other_types_are_not_read(content_type: bytes, expected: bool) -> None:  # noqa: FBT001
    assert (usage_kind(content_type) is not None) == expected


parts = st.sampled_from(
    [
        event(usage=USAGE),
        event(usage=None),
        event(x='"usage":{'),
        b"\n",
        b"\r\n",
        b"\r",
        b"\n\n",
        b": ping\n\n",
        b'"usage":',
        b"{",
        b'{"prompt_tokens":3}',
        b"}",
        b"\xff",
        b'"',
        b"x" * TAIL_BYTES,
        b"data: [DONE]\r\n\r\n",
    ]
)


@given(st.lists(parts | st.binary(max_size=9), max_size=12).map(b"".join), st.lists(st.integers(0, 60), max_size=40))
def test_chunks_do_not_matter_and_nothing_raises(body: bytes, sizes: list[int]) -> None:
    for kind in ("json", "events"):
        whole, cut = read(kind, body), read(kind, body, *sizes)
        assert (cut.tokens, cut.events) == (whole.tokens, whole.events)
        assert (cut.first_s is None) == (cut.events == 0)


@given(
    st.lists(st.sampled_from(["\n", "\r\n"]), max_size=8),
    st.text(alphabet="ab: "),
    st.lists(st.integers(0, 5), max_size=9),
)
def test_empty_lines_end_events(ends: list[str], line: str, sizes: list[int]) -> None:
    body = "".join(f"data:{line}{end}{end}" for end in ends).encode()
    assert read("events", body, *sizes).events == len(ends)


def test_little_is_kept_of_a_long_answer() -> None:
    usage = UsageReader("events")
    for n in range(5000):
        usage.feed(event(n=n), 0.0)
        assert usage._size <= 2 * TAIL_BYTES
    assert usage.events == 5000
    assert len(usage._tail) <= TAIL_BYTES


@given(
    st.dictionaries(
        st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens"]), st.integers(-1, 10**10), min_size=1
    ),
    st.permutations(["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"]),
    st.sampled_from([None, {"cached_tokens": 3}]),
)
def test_blanks_and_order_change_nothing(
    numbers: dict[str, int], order: list[str], details: dict[str, int] | None
) -> None:
    whole = numbers | {"prompt_tokens_details": details}
    usage = {name: whole[name] for name in order if name in whole}
    compact = json.dumps({"usage": usage}, separators=(",", ":")).encode()
    assert tokens_of(compact) == tokens_of(json.dumps({"usage": usage}, indent=2).encode())
    expected = [number if 0 <= (number := numbers.get(name, -1)) < 10**9 else None for name in NAMES]
    assert tokens_of(compact) == tuple(expected)


@pytest.mark.parametrize("cut", range(len(b'"usage":{"prompt_tokens":12,"completion_tokens":34}')))
def test_of_a_cut_off_object_no_wrong_number_is_told(cut: int) -> None:
    assert tokens_of(b'"usage":{"prompt_tokens":12,"completion_tokens":34}'[:cut]) == (None, None, None)


def test_the_messages_api_tells_the_prompt_first_and_the_completion_last() -> None:
    begin = event(type="message_start", message={"id": "m", "usage": {"input_tokens": 25, "output_tokens": 1}})
    end = event(type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1500})
    short, long = begin + event(x="y") + end, begin + event(text="x" * 3 * TAIL_BYTES) + end
    assert read("events", short).tokens == read("events", long, 100, 9000, 20_000).tokens == (25, 1500, None)


def delta(text: str) -> bytes:
    """An event of the Messages API as its servers send it, the type as the event's, too."""
    content = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return b"event: content_block_delta\n" + event(**content)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("named", [False, True])
def test_of_a_cut_stream_of_the_messages_api_what_was_sent_is_counted(line_end: bytes, *, named: bool) -> None:
    start = event(type="message_start", message={"id": "m", "usage": {"input_tokens": 25, "output_tokens": 1}})
    opening = (b"event: message_start\n" if named else b"") + start + event(type="content_block_start", index=0)

    def completion(*texts: str) -> int:
        content = (opening + b"".join(map(delta, texts))).replace(b"\n", line_end)
        seen = {read("events", content, *cuts).tokens for cuts in ((), (30, 500, 20_000))}
        ((prompt, found, total),) = seen
        assert (prompt, total) == (25, None)
        assert found is not None
        return found

    assert completion() == 1, "as it was told"
    assert completion(*["word "] * 40) in range(40, 80)
    assert completion(*["word "] * 1000) in range(1000, 2000), "longer than what is kept of it"
    assert completion("x" * 4000) in range(950, 1050), "many tokens in an event"
    assert completion("x" * 4 * TAIL_BYTES) in range(TAIL_BYTES - 50, TAIL_BYTES + 50)
    assert completion('"usage": {"output_tokens": 9} "message_start"') < 40


def test_generated_text_is_no_first_event_of_the_messages_api() -> None:
    said = event(choices=[{"delta": {"content": '"message_start"'}}], usage={"prompt_tokens": 4})
    assert read("events", said + event(x="y")).tokens == (4, None, None)
    assert read("events", said * 9).tokens == (4, None, None)


def test_what_the_messages_api_read_from_its_cache_is_of_the_prompt() -> None:
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 2000, "output_tokens": 7}
    assert tokens_of(json.dumps({"type": "message", "usage": usage}).encode()) == (2105, 7, None)
    assert tokens_of(json.dumps({"usage": usage | {"cache_read_input_tokens": None}}).encode()) == (105, 7, None)


@pytest.mark.parametrize(
    ("usage", "milliseconds"),
    [
        ({"type": "duration", "seconds": 12}, 12_000),
        ({"type": "duration", "seconds": 0.25}, 250),
        ({"type": "duration", "seconds": -1}, 0),
        ({"type": "duration", "seconds": True}, 0),
        ({"type": "duration", "seconds": 10**7}, 0),
        ({"type": "duration"}, 0),
        ({"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}, 0),
    ],
)
def test_a_transcription_tells_seconds_of_audio(usage: dict[str, Any], milliseconds: int) -> None:
    for body in ({"text": "hello", "usage": usage}, {"usage": usage, "text": "x" * 2 * TAIL_BYTES}):
        content = json.dumps(body).encode()
        assert audio_ms_of(content) == read("json", content).audio_ms == milliseconds
