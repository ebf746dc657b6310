"""Trace context is taken over only where it is valid, and what is written is valid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.telemetry.traceparent import TraceParent, is_canonical, parse, state, write

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
VALID = b"00-" + TRACE + b"-" + SPAN + b"-01"


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (VALID, 1),
        (VALID[:-2] + b"00", 0),
        (VALID[:-2] + b"ff", 255),
        (b"01" + VALID[2:], 1),
        (b"cc" + VALID[2:] + b"-more-later", 1),
        (b"01" + VALID[2:] + b"-", 1),
        (VALID + b"-x", None),
        (VALID + b"-", None),
        (VALID + b"x", None),
        (b"01" + VALID[2:] + b"x", None),
        (b"ff" + VALID[2:], None),
        (b"00-" + b"0" * 32 + b"-" + SPAN + b"-01", None),
        (b"00-" + TRACE + b"-" + b"0" * 16 + b"-01", None),
        (VALID.upper(), None),
        (VALID[:-1], None),
        (VALID + b"\n", None),
        (b" " + VALID, None),
        (b"", None),
        (b"0" + VALID, None),
        (VALID.replace(b"4", b"g"), None),
        (b"01" + VALID[2:] + b"-" + b"x" * 200, None),
        (VALID.replace(b"-", b"_"), None),
    ],
)
def test_only_valid_parents_are_taken_over(value: bytes, flags: int | None) -> None:
    assert parse([value]) == (None if flags is None else TraceParent(TRACE, SPAN, flags))


@given(
    st.tuples(
        st.integers(0, len(VALID) - 1), st.sampled_from([b"0", b"a", b"A", b"-", b"g", b" ", b"", b"00", b"\xff"])
    ).map(lambda change: VALID[: change[0]] + change[1] + VALID[change[0] + 1 :])
    | st.sampled_from(
        [
            VALID,
            VALID[:-2] + b"00",
            VALID[:-2] + b"03",
            b"00-" + b"0" * 32 + VALID[35:],
            VALID[:36] + b"0" * 16 + VALID[-3:],
        ]
    )
)
def test_what_passes_unread_is_what_would_be_written_of_it(value: bytes) -> None:
    parent = parse([value])
    if is_canonical(value):
        assert parent is not None
        assert write(parent) == value
    elif parent is not None:
        assert value[:2] != b"00" or value[-2:] not in {b"00", b"01"}


def test_a_request_has_one_parent() -> None:
    assert parse([]) is None
    assert parse([VALID, VALID]) is None


hexes = st.integers(1, 2**64 - 1).map(lambda n: b"%016x" % n)


@given(hexes, hexes, st.integers(0, 255))
def test_what_is_written_is_read_as_the_same_trace_with_no_flag_but_sampled(
    high: bytes, span: bytes, flags: int
) -> None:
    parent = TraceParent(high + span, span, flags)
    assert parse([write(parent)]) == TraceParent(high + span, span, flags & 1)
    assert parent.sampled == bool(flags & 1)


@given(st.binary(max_size=80), st.lists(st.binary(max_size=30), max_size=3))
def test_nothing_raises(value: bytes, states: list[bytes]) -> None:
    parse([value])
    assert len(state(states)) <= 512


@pytest.mark.parametrize(
    ("values", "passed"),
    [
        ([], b""),
        ([b"a=1"], b"a=1"),
        ([b"a=1", b"b=2"], b"a=1,b=2"),
        ([b" a=1 ,, 1t@v=x y "], b"a=1,1t@v=x y"),
        ([b""], b""),
        ([b"a=1,a=2"], b""),
        ([b"A=1"], b""),
        ([b"a"], b""),
        ([b"a="], b""),
        ([b"a=\r\nX: y"], b""),
        ([b"a=1=2"], b""),
        ([b"=1"], b""),
        ([b"a=\xff"], b""),
        ([b",".join(b"k%d=1" % n for n in range(32))], b",".join(b"k%d=1" % n for n in range(32))),
        ([b",".join(b"k%d=1" % n for n in range(33))], b""),
        ([b"a=" + b"x" * 256], b"a=" + b"x" * 256),
        ([b"a=" + b"x" * 600], b""),
    ],
)
def test_state_passes_whole_or_not_at_all(values: list[bytes], passed: bytes) -> None:
    assert state(values) == passed
