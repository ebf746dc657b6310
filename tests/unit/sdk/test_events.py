"""Live events by the SDK: what is read, and that it goes on after the last event over lost connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from headrace.common.contracts.http.live_events import LiveChange, LiveReady, LiveReset
from headrace.sdk.errors import ApiError, UnexpectedAnswerError
from headrace.sdk.events import EventStream
from tests.unit.sdk.test_reconnecting import REFUSED, Answer, Asked, Time, transport


def block(number: int, name: str, **data: Any) -> bytes:
    return f"id: s-{number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()


READY = block(0, "ready", version="1")
COMMENT = b"retry: 2000\n\n:\n\n"


def change(number: int) -> bytes:
    return block(number, "change", kind="service", id=str(number), project=None)


class Server:
    """A server that gives these answers, the last one again and again."""

    def __init__(self, *answers: bytes | Exception | int) -> None:
        self.left = list(answers)
        self.since: list[str | None] = []

    def __call__(self, request: Asked) -> Answer:
        query = parse_qs(urlsplit(request.target).query)
        self.since.append(query.get("since", [None])[0])
        answer = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return Answer(answer, json.dumps({"title": "x", "detail": f"status {answer}"}).encode())
        return Answer(200, answer, broken=len(self.left) > 1)


def stream(server: Server, **more: Any) -> EventStream:
    return EventStream(transport(server, Time()), None, None, **({"follow": True, "on_notice": None} | more))


def first(events: Iterator[Any], count: int) -> list[Any]:
    return [next(events) for _ in range(count)]


def test_it_goes_on_after_the_last_event() -> None:
    told: list[str] = []
    server = Server(READY + COMMENT + change(1), REFUSED, 503, change(2) + b":\nid: s-7\n\n", block(9, "reset") + READY)
    with stream(server, on_notice=told.append) as events:
        found = first(events, 5)
    assert [type(event) for event in found] == [LiveReady, LiveChange, LiveChange, LiveReset, LiveReady]
    assert server.since == [None, "s-1", "s-1", "s-1", "s-7"]
    assert "the connection is back; the stream goes on" in told


def test_a_server_that_ends_the_stream_is_asked_anew() -> None:
    server = Server(READY + block(5, "end", reason="too-slow", detail="too slow"), change(6))
    with stream(server) as events:
        assert first(events, 2)[1] == LiveChange(kind="service", id="6")
    assert server.since == [None, "s-5"]


def test_who_may_not_read_it_any_more_is_told_so() -> None:
    with stream(Server(READY + block(5, "end", reason="no-access", detail="gone"), 401)) as events:
        next(events)
        with pytest.raises(ApiError) as refused:
            next(events)
    assert refused.value.status == 401


def test_without_following_it_ends() -> None:
    server = Server(change(1) + READY)
    assert len(list(stream(server, follow=False))) == 2
    assert len(server.since) == 1


def test_an_event_of_a_later_version_is_left_out_and_nonsense_is_an_error() -> None:
    server = Server(block(1, "weather", sun=True) + block(2, "change", kind="service"))
    with pytest.raises(UnexpectedAnswerError, match="not an event change"):
        next(stream(server, follow=False))
