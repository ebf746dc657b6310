"""A log that is followed goes on over lost connections, with no line twice and none left out; requests wait for a server that restarts."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.http.services import CreateService
from headrace.common.text.loglines import LinesSince, time_of
from headrace.common.text.logposition import LogPosition
from headrace.sdk import ApiError, Client, UnreachableError
from headrace.sdk.connections import BrokenError, ConnectFailedError, Pool, Response
from headrace.sdk.errors import AnswerLostError
from headrace.sdk.logs import LogStream
from headrace.sdk.reconnecting import RECONNECT_S
from headrace.sdk.transport import Transport
from tests.support.fakes.manager_api import KEY, fake_manager_api, service_view

REPLICAS = ("00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002")


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at: dict[int, Callable[[], object]] = {}
        """What happens at the n-th wait."""
        self.waits = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waits += 1
        self.at.get(self.waits, lambda: None)()


@dataclass(frozen=True)
class Asked:
    """A request as the server gets it."""

    method: str
    target: str


@dataclass(frozen=True)
class Answer:
    """A response of the server; a broken one ends with a broken connection."""

    status_code: int
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: bool = False
    reason_phrase = ""
    method = "GET"
    path = "/x"

    @property
    def is_success(self) -> bool:
        return self.status_code < 300

    @property
    def is_error(self) -> bool:
        return self.status_code >= 400

    def iter_bytes(self, _block_bytes: int = 0) -> Iterator[bytes]:
        yield self.content
        if self.broken:
            raise BrokenError("the connection was closed in the middle of the answer")

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class PoolOfOne:
    """Connections to a server that is a function."""

    handle: Callable[[Asked], Answer]

    def send(self, method: str, target: str, **_more: object) -> Response:
        return cast("Response", self.handle(Asked(method, target)))

    def close(self) -> None:
        """Nothing is open."""


def pool(handle: Callable[[Asked], Answer]) -> Pool:
    return cast("Pool", PoolOfOne(handle))


def transport(handle: Callable[[Asked], Answer], time: Time, **more: Any) -> Transport:
    """A transport whose server is a function."""
    made = Transport(
        "http://there",
        KEY,
        timeout_s=1,
        connect_timeout_s=1,
        retries=0,
        verify=True,
        sleep=time.sleep,
        clock=lambda: time.now,
        **more,
    )
    made.pool = pool(handle)
    return made


def at(ms: int) -> str:
    return f"2026-01-01T00:00:{ms // 1000:02d}.{ms % 1000:03d}Z"


@given(
    written=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.sampled_from("ab")), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=3),
    tail=st.integers(1, 30),
)
def test_whenever_the_connection_breaks_each_line_comes_once(
    written: list[tuple[int, int, str]], cuts: list[int], tail: int
) -> None:
    logs: dict[str, list[str]] = {replica: [] for replica in REPLICAS}
    clock = 0
    for number, (which, step, text) in enumerate(written):
        clock += step
        replica = REPLICAS[which]
        logs[replica].append(f"{replica} {at(clock)} {text} {number}")
    shown = {replica: lines[-tail:] for replica, lines in logs.items()}
    seen: list[str] = []
    position = LogPosition()
    since: str | None = None
    for cut in [*sorted(cuts), None]:
        sent = shown if since is None else {r: _from(lines, since) for r, lines in logs.items()}
        whole = [line for lines in sent.values() for line in lines]
        seen += [line for line in whole[:cut] if position.takes(line)]
        since = position.since() or None
    for replica, lines in logs.items():
        found = [line for line in seen if line.startswith(replica)]
        assert found == lines[len(lines) - len(found) :]
        # A replica of which nothing was seen when the connection broke comes whole.
        assert len(found) >= len(shown[replica])


def _from(lines: list[str], since: str) -> list[str]:
    late_ones = LinesSince(since.removesuffix("Z"))
    return [line for line in lines if list(late_ones.of([line.partition(" ")[2]]))]


def test_lines_that_are_alike_and_of_one_time_come_as_often_as_they_were_written() -> None:
    line = f"{at(5)} again"
    position = LogPosition()
    first = [f"{at(1)} begin", line, line]
    assert [x for x in first if position.takes(x)] == first
    assert position.since() is not None
    assert [x for x in [*first, line, line] if position.takes(x)] == [line, line]


def test_a_clock_that_was_set_back_hides_no_line() -> None:
    lines = [f"{at(500)} a", f"{at(600)} b", f"{at(10)} c", f"{at(20)} d"]
    assert list(LinesSince(time_of(lines[1])).of(lines)) == lines[1:]
    position = LogPosition()
    assert [line for line in lines if position.takes(line)] == lines


def test_times_of_different_precision_are_in_order() -> None:
    words = [
        "2026-01-01T00:00:00Z x",
        "2026-01-01T00:00:00.1Z x",
        "2026-01-01T00:00:00.123Z x",
        "2026-01-01T00:00:00.123456789Z x",
    ]
    times = [time_of(word) for word in words]
    assert None not in times
    assert times == sorted(times, key=str)
    assert time_of("no time") is None


def following(time: Time, *answers: bytes | Exception | int) -> tuple[list[str], list[str], list[dict[str, list[str]]]]:
    """Follow a log over these answers; return its lines, what was told, and what was asked for."""
    asked: list[dict[str, list[str]]] = []
    left = list(answers)

    def handle(request: Asked) -> Answer:
        asked.append(parse_qs(urlsplit(request.target).query))
        last = len(left) == 1
        answer = left[0] if last else left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return Answer(answer, json.dumps({"title": "x", "detail": f"status {answer}"}).encode())
        headers = {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}
        return Answer(200, answer, headers, broken=not last)

    told: list[str] = []
    lines: list[str] = []
    with LogStream(
        transport(handle, time), "/v1/services/x/logs", {"follow": True, "tail": 5}, follow=True, on_notice=told.append
    ) as log:
        try:
            lines.extend(log)
        except Exception as error:
            error.add_note("\n".join([*lines, *told]))
            raise
    return lines, told, asked


REFUSED = ConnectFailedError("refused")


def test_it_goes_on_where_it_was_and_says_so() -> None:
    one, two, three = (f"{at(n)} line {n}\n".encode() for n in (1, 2, 3))
    lines, told, asked = following(Time(), one + two, REFUSED, 503, one + two + three)
    assert lines == [f"{at(n)} line {n}" for n in (1, 2, 3)]
    assert len(told) == 2
    assert "the connection was lost" in told[0]
    assert "the connection is back" in told[1]
    assert [query.get("since") for query in asked] == [None, *[["2025-12-31T23:59:50.002Z"]] * 3]


def test_what_was_followed_and_is_gone_meanwhile_is_the_end() -> None:
    lines, _, _ = following(Time(), f"{at(1)} a\n".encode(), 404)
    assert lines == [f"{at(1)} a"]


def test_a_connection_that_does_not_come_back_is_an_error_within_bounds() -> None:
    time = Time()
    with pytest.raises(UnreachableError):
        following(time, b"", REFUSED)
    assert RECONNECT_S <= time.now < RECONNECT_S + 5


def test_a_connection_that_breaks_each_time_is_an_error_within_bounds() -> None:
    time = Time()
    with pytest.raises(AnswerLostError):
        following(time, *[b""] * 1000, b"never")
    assert time.now < RECONNECT_S + 5


def test_a_first_answer_that_does_not_come_is_not_repeated() -> None:
    with pytest.raises(ApiError):
        following(Time(), 503)


def test_with_no_line_seen_and_none_asked_for_it_goes_on_from_the_first_answer_s_time() -> None:
    asked = []

    def handle(request: Asked) -> Answer:
        asked.append(parse_qs(urlsplit(request.target).query).get("since"))
        if len(asked) == 1:
            return Answer(200, headers={"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, broken=True)
        return Answer(200)

    with LogStream(transport(handle, Time()), "/x", {"tail": 0}, follow=True) as log:
        assert list(log) == []
    assert asked == [None, ["2026-01-01T00:00:00Z"]]


def test_a_request_waits_for_a_server_that_restarts_and_is_sent_once() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        told: list[str] = []
        time = Time()
        starting = threading.Event()
        time.at[8] = starting.set
        with Client(f"http://127.0.0.1:{port}", KEY, patience_s=1e6, on_wait=told.append) as client:
            client._transport.clock = lambda: time.now
            client._transport.sleep = time.sleep
            done: list[str] = []

            def handle(request: Asked) -> Answer:
                if not starting.is_set():
                    raise ConnectFailedError("refused")
                done.append(request.method)
                return Answer(201, json.dumps(service_view()).encode())

            client._transport.pool = pool(handle)
            assert client.services.create(CreateService(name="echo")).name == "echo"
    assert done == ["POST"]
    assert len(told) == 1
    assert f"waiting for the manager at http://127.0.0.1:{port}" in told[0]


@pytest.mark.parametrize("cause", [socket.gaierror("no such name"), ssl.SSLError("not trusted")])
def test_a_wrong_name_or_certificate_is_not_waited_for(cause: Exception) -> None:
    time = Time()

    def handle(_: Asked) -> Answer:
        raise ConnectFailedError(str(cause)) from cause

    with pytest.raises(UnreachableError):
        transport(handle, time, patience_s=30.0).send("POST", "/x")
    assert time.waits == 0


def test_the_wait_has_an_end() -> None:
    time = Time()

    def handle(_: Asked) -> Answer:
        raise ConnectFailedError("refused")

    with pytest.raises(UnreachableError):
        transport(handle, time, patience_s=30.0).send("POST", "/x")
    assert 30 <= time.now < 32


def test_an_answer_that_was_lost_after_sending_is_not_asked_for_again() -> None:
    sent = []

    def handle(request: Asked) -> Answer:
        sent.append(request.method)
        raise BrokenError("reset")

    with pytest.raises(AnswerLostError):
        transport(handle, Time(), patience_s=30.0).send("POST", "/x")
    assert sent == ["POST"]


def test_a_real_server_that_begins_to_listen_is_found() -> None:
    with fake_manager_api() as there:
        port = int(there.url.rpartition(":")[2])
    # The port is free again, and most likely nobody's: until somebody listens there, connections are refused.
    waited = threading.Event()
    with Client(f"http://127.0.0.1:{port}", KEY, patience_s=30, on_wait=lambda _: waited.set()) as client:
        found: list[object] = []
        asking = threading.Thread(target=lambda: found.append(client.version()))
        asking.start()
        assert waited.wait(20)
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", port))
            listening.listen()
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                body = b'{"version": "1"}'
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)
                )
                asking.join(10)
        assert found


def test_closing_the_client_ends_what_waits_for_a_server() -> None:
    with socket.socket() as unused:  # bound, not listening
        unused.bind(("127.0.0.1", 0))
        waits = threading.Event()
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with Client(url, KEY, patience_s=3600, on_wait=lambda _: waits.set()) as client:
            ended: list[Exception] = []

            def ask() -> None:
                try:
                    client.version()
                except UnreachableError as error:
                    ended.append(error)

            asking = threading.Thread(target=ask)
            asking.start()
            assert waits.wait(20)
        asking.join(20)
    assert len(ended) == 1
