"""`model` is found wherever it stands, the same however the body is cut, in time that is linear in the body; nothing raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.inspect.form_head import FormHead
from headrace.appproxy.dataplane.inspect.json_search import MAX_MEMBERS, MAX_NAME, JsonSearch
from tests.support.bytecodes import bytecodes
from tests.unit.appproxy.inspect.test_json_head import TOKENS, contents_of_bodies, json_values

LONG = "x" * 100_000


def read(body: bytes, *sizes: int) -> tuple[str, str | None, bytes]:
    search = JsonSearch()
    at = 0
    for size in sizes:
        search.feed(body[at : at + size])
        at += size
    search.feed(body[at:])
    search.end()
    assert search.done
    return search.problem, search.model, body[slice(*search.span)]


@pytest.mark.parametrize(
    ("body", "problem", "model"),
    [
        (json.dumps({"messages": [{"content": LONG}], "model": "a"}).encode(), "", "a"),
        (
            json.dumps(
                {"messages": [{"content": 'say "model": "b" ' * 9000}], "n": 1, "x": None, "model": "a"}
            ).encode(),
            "",
            "a",
        ),
        (
            b'{"x":{"model":"b"},"y":["model",{"model":"c"}],"z":-1e5,"m\\u006fdel" : "a\\u002fb\\ud83d\\ude00"}',
            "",
            "a/b😀",
        ),
        (b' \r\n{"x":"' + b"\\\\" * 50_000 + b'","model":"a"}', "", "a"),
        (b'{"x":"' + b'\\"' * 50_000 + b'","model":"a"}', "", "a"),
        (b'{"x":' + b"[" * 60_000 + b"]" * 60_000 + b',"model":"a"}', "", "a"),
        (b'{"model":null,"x":1}', "", None),
        (b"{}", "", None),
        (b'{"x":1}', "", None),
        (b'{"model":7}', "wrong-type", None),
        (b'{"model":{"model":"a"}}', "wrong-type", None),
        (b"", "not-json", None),
        (b"[1]", "not-json", None),
        (b'{"x":1', "not-json", None),
        (b'{"x"}', "not-json", None),
        (b'{"x":}', "not-json", None),
        (b'{"x":1,}', "not-json", None),
        (b'{"model":"\xff"}', "not-json", None),
        (b"{x:1}", "not-json", None),
        (b'{"model":"' + b"a" * MAX_NAME + b'"}', "", "a" * MAX_NAME),
        (b'{"model":"' + b"a" * (MAX_NAME + 1) + b'"}', "name-too-long", None),
        (b'{"' + b"k" * 70_000 + b'":1,"model":"a"}', "", "a"),
        (b"{" + b'"a":1,' * MAX_MEMBERS + b'"model":"a"}', "too-many-members", None),
    ],
)
def test_model_is_told_wherever_it_stands(body: bytes, problem: str, model: str | None) -> None:
    assert read(body)[:2] == (problem, model)
    assert read(body, *[997] * (len(body) // 997 + 1))[:2] == (problem, model)


@given(contents_of_bodies, st.lists(st.integers(0, 40), max_size=20))
def test_it_says_what_a_parser_says_however_the_body_is_cut(content: bytes, sizes: list[int]) -> None:
    problem, model, value = read(content, *sizes)
    assert (problem, model) == ("", json.loads(content).get("model"))
    if model is not None:
        assert json.loads(value) == model, "and where it stands"
    assert read(content, *[1] * len(content)) == (problem, model, value)


@given(st.dictionaries(st.text(max_size=6), json_values, max_size=6), st.text(max_size=30))
def test_whatever_comes_before_it_is_passed_over(before: dict[str, Any], name: str) -> None:
    before.pop("model", None)
    body = json.dumps({**before, "model": name}, ensure_ascii=False, indent=1).encode("utf-8", "replace")
    assert read(body, 3, 5, 7)[:2] == ("", json.loads(body)["model"])


@given(st.lists(st.sampled_from(TOKENS), max_size=60), st.lists(st.integers(0, 9), max_size=9))
def test_what_looks_like_json_never_raises_and_reads_the_same_in_pieces(tokens: list[str], sizes: list[int]) -> None:
    body = ("{" + "".join(tokens)).encode()
    assert read(body, *sizes) == read(body) == read(body, *[1] * len(body))


SHAPES = [b"x", b"[", b"[],", b'{"a":', b'"",', b'"a":[1],', b"\\\\", b'\\"', b"1,", b'"\\u00', b"}", b' "', b'["]"],']


@pytest.mark.parametrize("begin", [b'{"x":"', b'{"x":[', b'{"x":', b"{"])
@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_body_is_at_most_twice_the_work(shape: bytes, begin: bytes) -> None:
    def work(size: int) -> int:
        body = begin + shape * (size // len(shape))
        return bytecodes(lambda: read(body, *[512] * (size // 512 + 1)))

    assert work(24_000) <= 2.2 * work(12_000) + 2000


@pytest.mark.parametrize(
    "part",
    [b"x", b"\r\n--", b"\r\n--B", b"\r\n--B\r\n\r\n\r\n", b"\r\n--B\r\nContent-Disposition: form-data; name=x\r\n\r\n"],
)
def test_the_same_holds_for_forms(part: bytes) -> None:
    def work(size: int) -> int:
        body = part * (size // len(part))

        def feed() -> None:
            head = FormHead(b"B")
            for at in range(0, len(body), 4096):
                head.feed(body[at : at + 4096])
            head.end()

        return bytecodes(feed)

    assert work(140_000) <= 2.2 * work(70_000) + 2000
