"""Properties of the parsers, one function per fuzz target: any exception but the parser's own is a finding."""

from __future__ import annotations

from fuzz.cuts import divisions
from fuzz.readings import SMALL, USUAL, check_answer, check_request, read_answer, read_requests
from headrace.appproxy.dataplane.http1.fast_path import read_plain_head
from headrace.appproxy.dataplane.http1.heads import FramingError
from headrace.appproxy.dataplane.http1.requests import RequestReader


def requests_hold(given: bytes) -> None:
    """Check the request parser: segmentation makes no difference, and an accepted request has one interpretation."""
    plain_heads_hold(given[1:])
    limits = SMALL if given[:1] and given[0] & 1 else USUAL
    readings = [read_requests(pieces, limits) for pieces in divisions(given)]
    for message in readings[0].messages:
        check_request(message)
    for other in readings[1:]:
        assert other.result == readings[0].result, (readings[0].result, other.result)
        for message in other.messages:
            check_request(message)


def plain_heads_hold(given: bytes) -> None:
    """Check the fast path: a head that it accepts is parsed equally by llhttp."""
    head, end, _ = given.partition(b"\r\n\r\n")
    found = read_plain_head(head.split(b"\r\n")) if end else None
    if found is not None:
        try:
            RequestReader(USUAL).head(head + end)
        except FramingError:
            return
        parsed = RequestReader(USUAL).parse_head(head + end)
        assert (parsed.method, parsed.target, parsed.lines, parsed.minor) == (*found, 1), (found, parsed.headers)


def answers_hold(given: bytes) -> None:
    """Check the response parser: segmentation makes no difference, and an accepted response has one interpretation."""
    flags = given[0] if given else 0
    limits, to_head = SMALL if flags & 1 else USUAL, bool(flags & 2)
    readings = [read_answer(pieces, limits, to_head=to_head) for pieces in divisions(given)]
    for message in readings[0].messages:
        check_answer(message, to_head=to_head)
    for other in readings[1:]:
        assert other.result == readings[0].result, (readings[0].result, other.result)
        for message in other.messages:
            check_answer(message, to_head=to_head)
