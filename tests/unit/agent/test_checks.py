"""Health checks: what is asked of a program, and what its answers say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.agent.checks import HealthChecker
from headrace.agent.domain.answerhead import MAX_HEAD_BYTES, MAX_INTERIM_RESPONSES, NotHttpError, final_head
from headrace.common.contracts.model import HealthCheck
from tests.support.bytecodes import bytecodes
from tests.support.ports import free_port
from tests.support.wait import eventually

CHECK = HealthCheck(path="/health?deep=1", max_wait_time=5)
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Program:
    """A server that gives each request the next answer: its pieces one after the other, then it closes if told so."""

    def __init__(self, *answers: Sequence[bytes], closes: bool = False) -> None:
        self.answers = list(answers)
        self.closes = closes
        self.requests: list[bytes] = []
        self.connections = self.ended = 0
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head)
                pieces = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended += 1
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Program]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await eventually(lambda: self.ended == self.connections)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def closed_port() -> int:
    return free_port()


async def test_a_check_passes_with_the_expected_status_only_and_says_what_came_instead() -> None:
    async with Program([EMPTY], [EMPTY.replace(b"200 OK", b"503")]).running() as program:
        with closing(HealthChecker("127.0.0.1")) as checker:
            good = await checker.ask(CHECK, program.port)
            assert (good.passed, good.detail) == (True, "answered 200")
            bad = await checker.ask(CHECK, program.port)
            assert (bad.passed, bad.detail, bad.reached) == (False, "answered 503 instead of 200", True)
            assert (await checker.ask(HealthCheck(path="/x", expected_status_code=503), program.port)).passed
            assert program.requests[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:")
        nobody = await checker.ask(CHECK, closed_port())
        assert (nobody.passed, nobody.detail, nobody.reached) == (False, "connection refused", False)


async def test_a_program_that_does_not_answer_fails_the_check_after_its_time() -> None:
    async with Program([b""]).running() as program:
        with closing(HealthChecker("127.0.0.1")) as checker:
            slow = await checker.ask(HealthCheck(path="/", max_wait_time=0.05), program.port)
            assert (slow.passed, slow.detail, slow.reached) == (False, "no answer within 0.05 s", False)


async def test_a_port_check_wants_a_connection_that_stays_open() -> None:
    async with Program([EMPTY]).running() as program:
        with closing(HealthChecker("127.0.0.1")) as checker:
            assert (await checker.ask(None, program.port)).passed
        assert (await checker.ask(None, closed_port())).detail == "connection refused"
        proxy = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        async with proxy:
            answer = await checker.ask(None, proxy.sockets[0].getsockname()[1])
        assert (answer.passed, answer.detail) == (False, "the connection was closed at once")


async def test_checks_share_a_connection_where_they_may_and_have_one_of_their_own_where_not() -> None:
    async with Program([WHOLE]).running() as program:
        with closing(HealthChecker("127.0.0.1")) as checker:
            for _ in range(5):
                assert (await checker.ask(CHECK, program.port, kept=True)).passed
            assert program.connections == 1
            for _ in range(5):
                assert (await checker.ask(CHECK, program.port)).passed
            assert program.connections == 6
            assert sum(b"connection: close" in request.lower() for request in program.requests) == 5
            checker.forget(program.port)
            await eventually(lambda: program.ended == 6)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n",
        b"HTTP/1.1 200\n\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_whose_answer_has_no_sure_end_is_not_used_again(answer: bytes) -> None:
    async with Program([answer]).running() as program:
        with closing(HealthChecker("127.0.0.1")) as checker:
            for _ in range(2):
                assert (await checker.ask(CHECK, program.port, kept=True)).passed
            assert program.connections == 2


async def test_a_connection_whose_answer_has_not_come_whole_is_not_used_again() -> None:
    async with Program([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"]).running() as program:
        with closing(HealthChecker("127.0.0.1")) as checker:
            for _ in range(2):
                assert (await checker.ask(CHECK, program.port, kept=True)).passed
            assert program.connections == 2


async def test_a_kept_connection_that_the_program_closed_meanwhile_is_no_failed_check() -> None:
    async with Program([WHOLE], closes=True).running() as program:
        with closing(HealthChecker("127.0.0.1")) as checker:
            for _ in range(20):  # with and without the news of its end, as it happens
                assert (await checker.ask(CHECK, program.port, kept=True)).passed
            assert program.connections == 20


async def test_a_kept_connection_that_breaks_within_an_answer_is_a_failed_check() -> None:
    async with Program([WHOLE], [b"HTTP/1.1 2"]).running() as program:
        with closing(HealthChecker("127.0.0.1")) as checker:
            assert (await checker.ask(CHECK, program.port, kept=True)).passed
            program.closes = True
            answer = await checker.ask(CHECK, program.port, kept=True)
            assert (answer.passed, answer.detail) == (False, "the connection was closed without an answer")
            assert program.connections == 1


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([b"SSH-2.0-OpenSSH_9.2p1\r\n"], "its answer is not HTTP"),
        ([b"HTTP/2.0 200 OK\r\n\r\n"], "its answer is not HTTP"),
        ([b"HTTP/1.1 999 OK\r\n\r\n"], "its answer is not HTTP"),
        ([b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"x" * 1000 + b"\r\n"] * 20], "its answer's head is longer than 16 KiB"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"] * (MAX_INTERIM_RESPONSES + 1), "more than 8 interim answers (1xx) came"),
    ],
)
async def test_what_is_no_http_answer_fails_the_check_in_words(pieces: list[bytes], words: str) -> None:
    async with Program(pieces).running() as program:
        with closing(HealthChecker("127.0.0.1")) as checker:
            answer = await checker.ask(CHECK, program.port)
            assert (answer.passed, answer.detail, answer.reached) == (False, words, True)


async def test_connections_of_checks_do_not_add_up() -> None:
    async with Program([WHOLE]).running() as program:
        with closing(HealthChecker("127.0.0.1")) as checker:
            before = descriptors()
            answers = await asyncio.gather(*(checker.ask(CHECK, program.port, kept=True) for _ in range(30)))
            assert all(answer.passed for answer in answers)
            await eventually(lambda: program.ended == program.connections - 1)
            await eventually(lambda: descriptors() <= before + 2)  # both ends of one


@given(st.data())
def test_a_head_is_read_alike_however_it_is_cut(data: st.DataObject) -> None:
    content = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + WHOLE
    cut = data.draw(st.integers(0, len(content) - 3))
    assert final_head(content[:cut]) is None
    head = final_head(content)
    assert head is not None
    assert (head.status, content[head.end :], head.body_bytes) == (200, b"ok", 2)


@given(st.binary(max_size=200) | st.builds(lambda rest: b"HTTP/1.1 200" + rest, st.binary(max_size=200)))
def test_no_bytes_break_the_reading_of_a_head(content: bytes) -> None:
    try:
        head = final_head(content)
    except NotHttpError:
        return
    assert head is None or head.end <= len(content)


@pytest.mark.parametrize("field", [b"X: y\r\n", b"\r", b":\r\n", b"Content-Length: 1\r\n", b"x"])
def test_twice_the_head_is_at_most_twice_the_work(field: bytes) -> None:
    half = MAX_HEAD_BYTES // 2 // len(field) - 10

    def work(count: int) -> int:
        head = b"HTTP/1.1 200 OK\r\n" + field * count + b"\r\n\r\n"
        return bytecodes(lambda: final_head(head), NotHttpError)

    once, twice = work(half), work(2 * half)
    assert twice <= 2 * once + 100
