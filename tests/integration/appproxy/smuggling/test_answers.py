"""Every bad answer through the proxy: the caller gets all of it, a 502, or something that shows it is broken; nobody gets another's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from headrace.common.contracts.messages.routes import Limits
from tests.integration.appproxy.smuggling.answers import ANSWERS, GOOD, AnswerCase, Breaks, Fails, Gets
from tests.integration.appproxy.smuggling.recorder import Heard, send
from tests.support.factories.route_tables import route, table
from tests.support.worlds.appproxy import AppProxyWorld, raw_backend

NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"


@dataclass
class Liar:
    """A replica that answers as `case` says, and `next` to all other requests."""

    port: int = 0
    case: AnswerCase | None = None


@asynccontextmanager
async def liar() -> AsyncIterator[Liar]:
    """Serve on a free port."""
    state = Liar()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                case = state.case
                if case is None or b"/case " not in head:
                    writer.write(NEXT)
                    continue
                for segment in case.segments:
                    writer.write(segment)
                    await writer.drain()
                    await asyncio.sleep(0.02 if len(case.segments) > 1 else 0)  # a hint to the kernel only
                if case.closes:
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class Answer:
    """What the caller can make of the bytes, read strictly."""

    status: int
    head: bytes
    body: bytes
    whole: bool


def read(heard: Heard, methods: list[bytes]) -> list[Answer]:
    """Return the answers in what was heard, one for each method at most. AssertionError where anything is left over."""
    data, answers = heard.data, []
    for method in methods:
        if not data:
            break
        head, end, data = data.partition(b"\r\n\r\n")
        line = re.match(rb"HTTP/1\.1 (\d{3}) [\x20-\x7e]*\r\n", head + b"\r\n")
        assert line, f"no answer: {head[:80]!r}"
        status, low = int(line[1]), head.lower()
        length = re.search(rb"\r\ncontent-length: (\d+)(?=\r\n|$)", low)
        if not end:
            body, whole, data = b"", False, b""
        elif method == b"HEAD" or status in {204, 304}:
            body, whole = b"", True
        elif b"\r\ntransfer-encoding: chunked" in low:
            assert length is None
            body, whole, data = _chunks(data)
        elif length:
            size = int(length[1])
            body, whole, data = data[:size], len(data) >= size, data[size:]
        else:
            body, whole, data = data, b"\r\nconnection: close" in low, b""
        answers.append(Answer(status, low, body, whole))
        if not whole:
            break
    assert not data, f"left over: {data[:80]!r}"
    return answers


def _chunks(data: bytes) -> tuple[bytes, bool, bytes]:
    body = b""
    while line := re.match(rb"([0-9a-fA-F]{1,15})\r\n", data):
        size = int(line[1], 16)
        data = data[line.end() :]
        if not size:
            return (body, True, data[2:]) if data.startswith(b"\r\n") else (body, False, b"")
        body, data = body + data[:size], data[size + 2 :]
    return body, False, data if data.strip(b"0123456789abcdefABCDEF\r\n") else b""


def faults(case: AnswerCase, heard: Heard) -> list[str]:
    """Return what is wrong, nothing if all is as it must be."""
    try:
        answers = read(heard, [case.method, b"GET"])
    except AssertionError as error:
        return [str(error).partition("\n")[0]]
    first = answers[0] if answers else Answer(0, b"", b"", whole=False)
    checks = {"the connection did not end": heard.ended, "another's answer": b"SMUGGLED" not in heard.data}
    match case.want:
        case Breaks():
            checks["the answer looks whole"] = not first.whole
            checks[f"{len(answers)} answers"] = len(answers) <= 1
        case Fails():
            checks[f"status {first.status}"] = first.status == 502 and first.whole
        case Gets():
            want = case.want
            checks[f"{first.status} {first.body[:60]!r} whole={first.whole}"] = (
                first.status == want.status and first.body == want.body and first.whole
            )
            checks |= {f"{text!r} is there": text not in first.head for text in want.absent}
            checks |= {f"{text!r} is missing": text in first.head for text in want.present}
    if not isinstance(case.want, Breaks) and b"\r\nconnection: close" not in first.head:
        checks["the next one was not answered"] = [answer.body for answer in answers[1:]] == [b"next"]
    return [text for text, good in checks.items() if not good]


async def test_a_bad_answer_is_never_taken_for_a_good_one(world: AppProxyWorld) -> None:
    async with liar() as replica:
        limits = Limits(first_byte_timeout_s=2, idle_timeout_s=2)
        world.apply(table("chat", routes=(route(port=replica.port),), limits=limits))
        wrong: list[str] = []
        for case in ANSWERS:
            replica.case = case
            asks = (
                case.method + b" /chat/case HTTP/1.1\r\nHost: h\r\n\r\n"
                b"GET /chat/next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            )
            heard = await send(world.port, (asks,))
            found = faults(case, heard)
            later = await send(world.port, (b"GET /chat/later HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",))
            if b"SMUGGLED" in later.data or not later.data.endswith(b"next"):
                found.append(f"the next caller got {later.data[-200:]!r}")
            if found:
                wrong.append(f"{case.id} ({case.why}): {'; '.join(found)}\n    {heard.data[:300]!r}")
        assert not wrong, f"{len(wrong)} of {len(ANSWERS)}:\n" + "\n".join(wrong)


async def test_an_answer_that_nobody_asked_for_ends_the_connection(world: AppProxyWorld) -> None:
    taken, ended = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(NEXT)
        if number == 1:
            await taken.wait()
            writer.write(GOOD)
            await reader.read()
            ended.set()

    async with raw_backend(script) as replica:
        world.apply(table("chat", routes=(route(port=replica.port),)))
        assert (await world.http.get(f"{world.url}/chat/one")).text == "next"
        taken.set()
        async with asyncio.timeout(60):
            await ended.wait()
        assert (await world.http.get(f"{world.url}/chat/two")).text == "next"
        assert replica.connections == 2


def test_the_answers_are_many_and_say_why() -> None:
    assert len(ANSWERS) >= 80
    assert len({case.id for case in ANSWERS}) == len(ANSWERS)
    assert all(case.why for case in ANSWERS)
