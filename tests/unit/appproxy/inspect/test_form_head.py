"""The model of a form is read the same however the form is cut, is refused where it is not plain, and nothing raises."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.inspect.form_head import MAX_PARTS, FormHead, boundary

Part = tuple[str, bytes]


def form(*parts: Part, end: bytes = b"--B--\r\n") -> bytes:
    return (
        b"".join(b"--B\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (h.encode(), c) for h, c in parts) + end
    )


MODEL = ('name="model"', b"whisper")
FILE = ('name="file"; filename="a;name=model.wav"\r\nContent-Type: audio/wav', b"\r\n--" * 30)


def read(body: bytes, *sizes: int, limit: int = 65_536) -> tuple[str, str | None]:
    head = FormHead(b"B", limit=limit)
    at = 0
    for size in sizes:
        head.feed(body[at : at + size])
        at += size
    head.feed(body[at:])
    head.end()
    assert head.done
    if head.model is not None:
        assert body[slice(*head.span)].decode() == head.model, "and where it stands"
    return head.problem, head.model


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (form(MODEL, FILE), ("", "whisper")),
        (form(FILE, MODEL), ("", "whisper")),
        (b"preamble\r\n" + form(MODEL), ("", "whisper")),
        (form(("name=model", b"a")), ("", "a")),
        (form(('name="model"\r\nX: y', "é".encode())), ("", "é")),
        (form(('name="model"', b"")), ("", "")),
        (form(FILE), ("", None)),
        (b"", ("not-a-form", None)),
        (b"{}", ("not-a-form", None)),
        (form(MODEL, MODEL), ("repeated-model", None)),
        (form(('name="model"; filename="x"', b"a")), ("wrong-type", None)),
        (form(('name="model"', b"\xff")), ("wrong-type", None)),
        (form(('name="model"', b"a" * 600)), ("name-too-long", None)),
        (form(("x" * 9000, b"")), ("not-a-form", None)),
        (form(('name="models"', b"a"), ('filename="model"', b"b")), ("", None)),
        (form(('name="x"; y="; name=model"', b"a")), ("", None)),
        (form(('y="; name=x"; NAME=model', b"a")), ("", "a")),
        (b"--Bx\r\n" + form(MODEL), ("", "whisper")),
    ],
)
def test_only_a_plain_model_is_told(body: bytes, expected: tuple[str, str | None]) -> None:
    assert read(body) == expected
    assert read(body, *[1] * len(body)) == expected


def test_a_file_of_any_size_may_come_first() -> None:
    body = form(('name="file"; filename="a"', b"x" * 1000), MODEL)
    assert read(body, limit=100) == read(body, *[7] * 200, limit=100) == ("", "whisper")


def test_the_parts_before_it_are_bounded() -> None:
    others = [('name="x"', b"1")] * MAX_PARTS
    assert read(form(*others[1:], MODEL), limit=100) == ("", "whisper")
    assert read(form(*others, MODEL), limit=100) == ("too-many-parts", None)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data; charset=utf-8; Boundary="a b"', b"a b"),
        (b"multipart/form-data", None),
        (b"multipart/mixed; boundary=a", None),
        (b"multipart/form-data; boundary=", None),
        (b"multipart/form-data; boundary=" + b"a" * 71, b"a" * 70),
    ],
)
def test_a_form_names_its_boundary(content_type: bytes, expected: bytes | None) -> None:
    assert boundary(content_type) == expected


pieces = st.lists(
    st.sampled_from(
        [
            b"--B",
            b"\r\n",
            b"--",
            b'Content-Disposition: form-data; name="model"',
            b"a",
            b"\r\n\r\n",
            b"\xff",
            b"B",
            b"-",
            b"\r",
        ]
    ),
    max_size=30,
).map(b"".join)
forms = st.lists(st.sampled_from([MODEL, FILE, ('name="x"', b"1")]), max_size=5).map(lambda parts: form(*parts))


@given(
    st.one_of(forms, pieces, st.binary()),
    st.lists(st.integers(0, 30), max_size=12),
    st.integers(1, 300),
)
@example(form(MODEL), [], 60)
def test_chunks_do_not_matter_and_nothing_raises(body: bytes, sizes: list[int], limit: int) -> None:
    assert read(body, *sizes, limit=limit) == read(body, limit=limit)
    assert read(body, *[1] * len(body), limit=limit) == read(body, limit=limit)
