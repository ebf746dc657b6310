"""Logs of a kernel come over the bus, in order, at the reader's pace; a reader that leaves is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.errors import NoRespondersError

from headrace.common.bus.connect import Bus, open_bus
from headrace.common.bus.consume import answering
from headrace.common.contracts.ids import KernelId, new_uuid
from headrace.common.contracts.messages.logs import LogChunk, LogsAccepted, LogsRequest
from headrace.common.contracts.problems import BusUnavailable, MalformedMessage, NotFound, Problem, TooManyRequests
from headrace.embedded.stack import EmbeddedServers
from headrace.manager.inbox.logs import BusLogReader
from tests.support.wait import eventually

KERNEL = KernelId(new_uuid())


class Sender:
    """An agent's log side, as its user on the bus."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.acknowledged = 0
        self.reader_left = False
        self.tasks: list[asyncio.Task[None]] = []

    async def accept(self, request: LogsRequest) -> LogsAccepted:
        if request.kernel_id != KERNEL:
            return LogsAccepted(accepted=False, detail="no such kernel")
        self.tasks.append(asyncio.create_task(self._send(request)))
        return LogsAccepted(accepted=True)

    async def _send(self, request: LogsRequest) -> None:
        try:
            for sequence in range(1000 if request.follow else 3):
                last = not request.follow and sequence == 2
                chunk = LogChunk(sequence=sequence, lines=(f"2026-01-01T00:00:00Z line {sequence}",), eof=last)
                await self.bus.client.request(request.reply_to, chunk.encode(), timeout=5)
                self.acknowledged += 1
        except NoRespondersError:
            self.reader_left = True


@asynccontextmanager
async def _sender(servers: EmbeddedServers) -> AsyncIterator[Sender]:
    user, password = servers.nats_user("agent-1")
    async with open_bus(servers.nats_url, user=user, password=password, name="agent") as bus:
        sender = Sender(bus)
        async with answering(bus, LogsRequest, sender.accept, subject="rpc.agent.agent-1.logs"):
            await bus.client.flush(timeout=30)  # the server knows of it, however busy the machine is
            yield sender
        await asyncio.gather(*sender.tasks)


async def test_lines_in_order_then_the_end(bus: Bus, servers: EmbeddedServers) -> None:
    async with _sender(servers):
        lines = [line async for line in BusLogReader(bus).lines("agent-1", KERNEL, tail=10, follow=False)]
    assert [line.split(" ", 1)[1] for line in lines] == ["line 0", "line 1", "line 2"]


async def test_a_slow_reader_slows_the_agent_and_a_leaving_one_is_noticed(bus: Bus, servers: EmbeddedServers) -> None:
    async with _sender(servers) as sender:
        lines = BusLogReader(bus).lines("agent-1", KERNEL, tail=10, follow=True)
        for _ in range(3):
            await anext(lines)
        assert sender.acknowledged <= 4
        await lines.aclose()  # type: ignore[attr-defined]
        await eventually(lambda: sender.reader_left)


async def test_an_unknown_kernel_and_a_silent_agent_are_told_apart(bus: Bus, servers: EmbeddedServers) -> None:
    reader = BusLogReader(bus)
    with pytest.raises(BusUnavailable):
        await anext(reader.lines("agent-2", KERNEL, tail=1, follow=False))
    async with _sender(servers):
        with pytest.raises(NotFound, match="no such kernel"):
            await anext(reader.lines("agent-1", KernelId(new_uuid()), tail=1, follow=False))


async def test_a_machine_where_too_many_read_logs_is_told_with_the_numbers(bus: Bus, servers: EmbeddedServers) -> None:
    async def refuse(request: LogsRequest) -> LogsAccepted:
        return LogsAccepted(accepted=False, detail=f"too many read {request.kernel_id}", found=32, allowed=32)

    user, password = servers.nats_user("agent-1")
    async with (
        open_bus(servers.nats_url, user=user, password=password, name="agent") as own,
        answering(own, LogsRequest, refuse, subject="rpc.agent.agent-1.logs"),
    ):
        await own.client.flush(timeout=30)
        with pytest.raises(TooManyRequests, match="too many read") as refused:
            await anext(BusLogReader(bus).lines("agent-1", KERNEL, tail=1, follow=True))
    document = refused.value.document()
    assert (document["status"], document["found"], document["allowed"]) == (429, 32, 32)


@asynccontextmanager
async def _sends(servers: EmbeddedServers, *messages: bytes) -> AsyncIterator[None]:
    """An agent that accepts who wants a log and sends these messages."""
    user, password = servers.nats_user("agent-1")
    sending: list[asyncio.Task[None]] = []
    async with open_bus(servers.nats_url, user=user, password=password, name="agent") as own:

        async def send(request: LogsRequest) -> None:
            for message in messages:
                await own.client.request(request.reply_to, message, timeout=30)

        async def accept(request: LogsRequest) -> LogsAccepted:
            sending.append(asyncio.create_task(send(request)))
            return LogsAccepted(accepted=True)

        async with answering(own, LogsRequest, accept, subject="rpc.agent.agent-1.logs"):
            await own.client.flush(timeout=30)
            yield
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)


def _chunk(sequence: int, *lines: str, **facts: Any) -> bytes:
    return LogChunk(sequence=sequence, lines=lines, **facts).encode()


async def _read(bus: Bus) -> tuple[list[str], Problem | None]:
    """Read a log to its end; return the lines, and why it broke off."""
    lines: list[str] = []
    try:
        async for line in BusLogReader(bus).lines("agent-1", KERNEL, tail=10, follow=True):
            lines.append(line)  # noqa: PERF401 - kept when it breaks off
    except Problem as problem:
        return lines, problem
    return lines, None


async def test_a_chunk_without_lines_is_a_sign_of_life(bus: Bus, servers: EmbeddedServers) -> None:
    async with _sends(servers, _chunk(0), _chunk(1, "one", "two"), _chunk(2, eof=True)):
        assert await _read(bus) == (["", "one", "two", ""], None)


@pytest.mark.parametrize(
    ("second", "problem", "why"),
    [
        (_chunk(2, "three"), BusUnavailable, "a part of the log was lost on the way from agent-1"),
        (_chunk(1, error="the disk is gone"), BusUnavailable, "agent-1: the disk is gone"),
        (b"{", MalformedMessage, "LogChunk"),
    ],
    ids=["a part is lost", "the agent cannot read on", "it is no chunk"],
)
async def test_a_log_that_breaks_off_says_why_after_the_lines_that_came(
    bus: Bus, servers: EmbeddedServers, second: bytes, problem: type[Problem], why: str
) -> None:
    async with _sends(servers, _chunk(0, "one"), second):
        lines, found = await _read(bus)
    assert lines[0] == "one"
    assert isinstance(found, problem)
    assert why in found.detail


async def test_an_agent_that_accepts_and_then_says_nothing_has_fallen_silent(
    bus: Bus, servers: EmbeddedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.manager.inbox.logs.SILENCE_S", 0.1)
    async with _sends(servers):
        lines, found = await _read(bus)
    assert lines == []
    assert isinstance(found, BusUnavailable)
    assert found.detail.startswith("agent-1 fell silent")


async def test_a_reader_says_that_the_bus_is_away_and_can_leave_when_its_connection_is_gone(
    bus: Bus, servers: EmbeddedServers
) -> None:
    BusLogReader(bus).check()
    with pytest.raises(BusUnavailable):
        BusLogReader(Bus()).check()
    user, password = servers.nats_user("manager")
    async with _sends(servers, _chunk(0, "one")):
        async with open_bus(servers.nats_url, user=user, password=password, name="manager-2") as own:
            lines = BusLogReader(own).lines("agent-1", KERNEL, tail=10, follow=True)
            assert await anext(lines) == "one"
        await lines.aclose()  # type: ignore[attr-defined]
    assert [line async for line in lines] == []
