"""The head of a body is read the same however it is cut, says what the engine will read, and never raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.inspect.json_head import JsonHead

ALL = frozenset({"model", "user", "stream", "max_tokens", "prompt"})
CHAT = {
    "model": "llama",
    "user": "ann",
    "stream": True,
    "max_tokens": 7,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hé 😀"}]},
    ],
}


def read(body: bytes, *pieces: int, limit: int = 65_536, prompt_bytes: int = 512) -> tuple[Any, ...]:
    head = JsonHead(ALL, limit=limit, prompt_bytes=prompt_bytes)
    at = 0
    for size in pieces:
        head.feed(body[at : at + size])
        at += size
    head.feed(body[at:])
    head.end()
    assert head.done
    return head.problem, head.model, head.user, head.stream, head.max_tokens, head.prompt


def test_all_members_are_told() -> None:
    expected = ("", "llama", "ann", True, 7, "system\nBe brief.\nuser\nHé 😀\n".encode())
    assert read(json.dumps(CHAT).encode()) == expected
    assert read(b" \r\n" + json.dumps(CHAT, ensure_ascii=False, indent=2).encode() + b"\n") == expected


@pytest.mark.parametrize(
    ("body", "problem", "model"),
    [
        (b"", "not-json", None),
        (b"[1]", "not-json", None),
        (b'"model"', "not-json", None),
        (b"model=a", "not-json", None),
        (b"\xef\xbb\xbf{}", "not-json", None),
        ('{"model":"a"}'.encode("utf-16"), "not-json", None),
        (b'{"model":"\xff"}', "not-json", None),
        (b'{"model":"a"', "not-json", None),
        (b'{"model":"a"} x', "not-json", None),
        (b"{}", "", None),
        (b'{"model":null}', "", None),
        (b'{"model":7}', "wrong-type", None),
        (b'{"model":["a"]}', "wrong-type", None),
        (b'{"model":"a\\u002fb\\ud83d\\ude00"}', "", "a/b😀"),
        (b'{"mod\\u0065l":"a"}', "", "a"),
        (b'{"model":"a","model":"b"}', "repeated-model", None),
        (b'{"model":"a","mod\\u0065l":"a"}', "repeated-model", None),
        (b'{"x":{"model":"b"},"model":"a","y":[{"model":"c"}]}', "", "a"),
        (b'{"x":{"model":"b"}}', "", None),
        (b'{"x":' + b"[" * 60_000, "too-deep", None),
        (b'{"x":' + b'{"a":' * 60_000, "too-deep", None),
    ],
)
def test_a_model_is_told_only_where_every_engine_would_read_it(body: bytes, problem: str, model: str | None) -> None:
    assert read(body)[:2] == (problem, model)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"max_completion_tokens": 9}, 9),
        ({"max_tokens": 5, "max_completion_tokens": 9}, 9),
        ({"max_tokens": True}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 1e3}, None),
        ({"max_tokens": 10**30}, 10**9),
        ({"max_tokens": "5"}, None),
    ],
)
def test_bounds_of_tokens_are_whole_numbers(members: dict[str, Any], expected: int | None) -> None:
    assert read(json.dumps(members).encode())[4] == expected


@pytest.mark.parametrize(
    ("members", "prompt"),
    [
        ({"prompt": "Once upon"}, b"Once upon"),
        ({"prompt": ["one", "two"]}, b"one"),
        ({"prompt": [1, 22, 3]}, b"1,22,3,"),
        ({"prompt": [[1, 2], [3]]}, b"1,2,"),
        ({"prompt": []}, b""),
        ({"prompt": 5}, None),
        ({}, None),
        ({"prompt": "\ud800x"}, b"?x"),
        (
            {"messages": [1, {"role": "user", "content": None}, {"content": [{"type": "image_url", "text": "no"}, 3]}]},
            b"\nuser\n\n\n\n",
        ),
    ],
)
def test_the_prompt_begins_with_its_text(members: dict[str, Any], prompt: bytes | None) -> None:
    assert read(json.dumps(members).encode())[5] == prompt


def test_only_what_is_wanted_is_kept() -> None:
    head = JsonHead(frozenset({"user"}))
    head.feed(b'{"model":1,"model":2,"user":"ann","prompt":"x"}')
    head.end()
    assert (head.problem, head.model, head.user, head.prompt) == ("", None, "ann", None)
    assert JsonHead(frozenset()).done


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
contents = st.text() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text()}), max_size=3)
messages = st.lists(
    st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(["system", "user"]), contents),
    min_size=1,
    max_size=4,
)
prompts = (
    st.text() | st.lists(st.text(), min_size=1, max_size=3) | st.lists(st.integers(0, 9999), min_size=1, max_size=30)
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "model": st.text(),
        "user": st.text(),
        "stream": st.booleans(),
        "x": json_values,
        "max_tokens": st.integers(0, 99),
    },
).flatmap(
    lambda first: st.one_of(
        st.just(first), messages.map(lambda m: first | {"messages": m}), prompts.map(lambda p: first | {"prompt": p})
    )
)


contents_of_bodies = st.builds(
    lambda body, ascii_only: json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "replace"), bodies, st.booleans()
)


@given(content=contents_of_bodies, sizes=st.lists(st.integers(0, 40), max_size=8), limit=st.integers(1, 400))
def test_chunks_do_not_matter(content: bytes, sizes: list[int], limit: int) -> None:
    assert read(content, *sizes, limit=limit) == read(content, limit=limit)


@given(content=contents_of_bodies, limit=st.integers(1, 400), prompt_bytes=st.integers(1, 60))
def test_a_cut_head_says_less_but_nothing_else(content: bytes, limit: int, prompt_bytes: int) -> None:
    whole = read(content, prompt_bytes=prompt_bytes)
    cut = read(content, limit=limit, prompt_bytes=prompt_bytes)
    for told, known in zip(cut[1:5], whole[1:5], strict=True):
        assert told is None or told == known
    assert cut[0] in ("", "too-long")
    if cut[0] == "":
        assert cut[1] == whole[1]
    if cut[5] is not None:
        assert whole[5] is not None
        # a surrogate pair may be cut in two, and a character too
        assert whole[5].startswith(cut[5].rstrip(b"?")[:-3] if cut[5] != whole[5] else cut[5])


@pytest.mark.parametrize("key", ["messages", "prompt"])
def test_a_long_prompt_begins_like_a_short_one(key: str) -> None:
    text = "You are a helpful assistant. " * 40
    short: Any = [{"role": "system", "content": text}] if key == "messages" else text
    long: Any = [{"role": "system", "content": text + "x" * 100_000}] if key == "messages" else text + "x" * 100_000
    assert (
        read(json.dumps({"model": "m", key: short}).encode())[5]
        == read(json.dumps({"model": "m", key: long}).encode())[5]
    )
    assert read(json.dumps({key: long, "model": "m"}).encode())[:2] == ("too-long", None)


def test_a_repeated_model_is_seen_in_a_cut_head_too() -> None:
    rest = b',"x":"' + b"y" * 70_000 + b'"}'
    assert read(b'{"model":"a","model":"b"' + rest)[:2] == ("repeated-model", None)
    assert read(b'{"model":"a","m\\u006fdel":{"b":' + b'"' + b"y" * 70_000 + b'"}}')[:2] == ("repeated-model", None)
    assert read(b'{"model":"a"' + rest)[:2] == ("", "a")


@pytest.mark.parametrize("after", [b"x", b"{}"])
def test_what_comes_after_the_head_does_not_count(after: bytes) -> None:
    body = b" \r\n\t" + after
    assert read(body, limit=4)[0] == read(body, 1, 1, 1, 1, limit=4)[0] == "too-long"


@given(st.binary(max_size=300), st.integers(1, 100), st.lists(st.integers(0, 30), max_size=5))
def test_nothing_raises(body: bytes, limit: int, sizes: list[int]) -> None:
    assert read(b"{" + body, *sizes, limit=limit) == read(b"{" + body, limit=limit)
    read(body, *sizes, limit=limit)


TOKENS = [
    "{",
    "}",
    "[",
    "]",
    '"',
    ":",
    ",",
    "\\",
    "\\u",
    "d83d",
    '"model"',
    '"prompt":',
    '"messages":',
    '"content":',
    '"text":',
]
TOKENS += ['"type":"text"', "1", " ", "a"]


@given(st.lists(st.sampled_from(TOKENS), max_size=60), st.integers(1, 80))
def test_what_looks_like_json_never_raises(tokens: list[str], limit: int) -> None:
    read(("{" + "".join(tokens)).encode(), limit=limit)


def test_no_shape_costs_more_than_its_length() -> None:
    for shape in (b"[", b"[],", b'{"a":', b'"a":1,', b"1,", b"{},", b'[["', b"\\u00"):
        for start in (b'{"x":', b'{"messages":[', b'{"prompt":[', b'{"prompt":"', b'{"messages":[{"content":['):
            read(start + shape * (70_000 // len(shape)))
