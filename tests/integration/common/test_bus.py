"""Last values survive lost messages, reconnects and an emptied stream."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from headrace.common.bus.connect import Bus, Login, open_bus
from headrace.common.bus.consume import LastValues, answering, subscribed
from headrace.common.bus.link import Link
from headrace.common.bus.newest import newest
from headrace.common.bus.publish import ask, publish, publish_last
from headrace.common.bus.stored import stored_generations, stored_values
from headrace.common.contracts.ids import ProjectId, ServiceId, new_uuid
from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.messages.folder_access import FolderAccess, FolderAccessRequest
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.scaling import ScaleReply, ScaleRequest
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.contracts.reasons import Reason
from headrace.common.runtime.clock import utc_now
from headrace.embedded.stack import EmbeddedServers
from tests.support.wait import eventually


def _table(generation: int, service_id: ServiceId) -> RouteTable:
    return RouteTable(service_id=service_id, generation=generation, name="s", project_id=ProjectId(new_uuid()))


@asynccontextmanager
async def _watching(
    bus: Bus, kind: type[Message], *, subject: str | None = None, resync_s: float = 60
) -> AsyncIterator[list[Message]]:
    seen: list[Message] = []

    async def deliver(message: Message) -> None:
        seen.append(message)

    watch = LastValues(bus, kind, deliver, subject=subject, resync=timedelta(seconds=resync_s))
    task = asyncio.create_task(watch.run())
    await asyncio.wait_for(watch.synced.wait(), 60)
    yield seen
    watch.stop()
    await asyncio.wait_for(task, 60)


async def test_stored_values_come_first_then_live_ones(bus: Bus, servers: EmbeddedServers) -> None:
    first, second = ServiceId(new_uuid()), ServiceId(new_uuid())
    for generation in (1, 2, 3):
        await publish_last(bus, _table(generation, first))
    user, password = servers.nats_user("appproxy")
    async with (
        open_bus(servers.nats_url, user=user, password=password, name="reader") as reader,
        _watching(reader, RouteTable) as seen,
    ):
        assert [m.generation for m in seen] == [3]  # type: ignore[attr-defined]
        await publish_last(bus, _table(1, second))
        await eventually(lambda: len(seen) == 2)


async def test_an_agent_reads_its_own_plan_and_no_other(bus: Bus, servers: EmbeddedServers) -> None:
    await publish_last(bus, NodePlan(agent_id="agent-1", generation=7, kernels=()))
    await publish_last(bus, NodePlan(agent_id="agent-2", generation=9, kernels=()))
    user, password = servers.nats_user("agent-1")
    async with open_bus(servers.nats_url, user=user, password=password, name="agent") as reader:
        async with _watching(reader, NodePlan, subject="plan.agent.agent-1") as seen:
            assert [m.generation for m in seen] == [7]  # type: ignore[attr-defined]
        with pytest.raises(BusUnavailable):
            await publish_last(reader, NodePlan(agent_id="agent-2", generation=10, kernels=()), timeout_s=0.5)


async def test_an_agent_asks_for_access_to_folders_for_itself_and_for_no_other(
    bus: Bus, servers: EmbeddedServers
) -> None:
    async def grant(request: FolderAccessRequest) -> FolderAccess:
        return FolderAccess(token=f"of {request.agent_id}", expires_in_s=600)

    user, password = servers.nats_user("agent-1")
    async with (
        answering(bus, FolderAccessRequest, grant, queue="managers"),
        open_bus(servers.nats_url, user=user, password=password, name="agent") as agent,
    ):
        own = FolderAccessRequest(agent_id="agent-1")
        assert (await ask(agent, own, FolderAccess)).token == "of agent-1"
        with pytest.raises(BusUnavailable):
            await ask(agent, FolderAccessRequest(agent_id="agent-2"), FolderAccess, timeout_s=0.5)
        other = FolderAccessRequest(agent_id="agent-2")
        with pytest.raises(BusUnavailable):  # on its own subject it does not speak for another
            await ask(agent, other, FolderAccess, timeout_s=0.5, subject=own.address())


async def test_a_reader_gets_every_value_however_many_there_are_and_values_that_change_while_it_reads(
    bus: Bus, servers: EmbeddedServers
) -> None:
    services = [ServiceId(new_uuid()) for _ in range(1_100)]
    first = services[0]
    for some in (services[at : at + 50] for at in range(0, len(services), 50)):
        await asyncio.gather(*(publish_last(bus, _table(1, service)) for service in some))
    assert await stored_generations(bus, RouteTable) == {f"route.{service}": 1 for service in services}
    pages = stored_values(bus, "ROUTES", "route.*")
    found = {value.subject: value.generation() for value in await anext(pages)}
    await publish_last(bus, _table(2, first))  # read already, and moved behind what is still to be read
    async for page in pages:
        found |= {value.subject: value.generation() for value in page}
    assert found == {f"route.{service}": 1 for service in services} | {f"route.{first}": 2}
    user, password = servers.nats_user("appproxy")
    async with (
        open_bus(servers.nats_url, user=user, password=password, name="reader") as reader,
        _watching(reader, RouteTable) as seen,
    ):
        assert {m.service_id for m in seen} == set(services)  # type: ignore[attr-defined]


async def test_a_stored_message_that_cannot_be_read_or_taken_costs_itself(bus: Bus) -> None:
    bad, untaken, good = (ServiceId(new_uuid()) for _ in range(3))
    await JetStreamContext(bus.client).publish(f"route.{bad}", b'{"generation": "x", ' + b"[" * 5_000)
    await publish_last(bus, _table(1, untaken))
    await publish_last(bus, _table(1, good))
    taken: list[ServiceId] = []

    async def deliver(table: RouteTable) -> None:
        if table.service_id == untaken:
            raise RuntimeError("the disk is full")
        taken.append(table.service_id)

    watch = LastValues(bus, RouteTable, deliver)
    task = asyncio.create_task(watch.run())
    await asyncio.wait_for(watch.synced.wait(), 60)
    watch.stop()
    await asyncio.wait_for(task, 60)
    assert taken == [good]
    assert (await stored_generations(bus, RouteTable))[f"route.{bad}"] == 0


async def test_newest_messages_that_could_not_be_handled_cost_themselves(bus: Bus) -> None:
    taken: list[ServiceId] = []

    async def handle(tables: Sequence[RouteTable]) -> None:
        if not taken:
            taken.append(tables[0].service_id)
            raise RuntimeError("a row that nobody thought of")
        taken.extend(table.service_id for table in tables)

    first, second = ServiceId(new_uuid()), ServiceId(new_uuid())
    async with newest(bus, RouteTable, handle):
        await publish_last(bus, _table(1, first))
        await eventually(lambda: taken == [first])
        await publish_last(bus, _table(1, second))
        await eventually(lambda: taken == [first, second])


async def test_a_lost_live_message_is_made_good_by_the_resync(bus: Bus) -> None:
    service = ServiceId(new_uuid())
    async with _watching(bus, RouteTable, resync_s=0.2) as seen:
        await publish_last(bus, _table(1, service))
        await eventually(lambda: len(seen) >= 3)
    assert {m.generation for m in seen} == {1}  # type: ignore[attr-defined]


async def test_an_emptied_stream_delivers_nothing(bus: Bus) -> None:
    async with _watching(bus, RouteTable, resync_s=0.05) as seen:
        await eventually(lambda: True)
    assert seen == []


async def test_a_subject_that_two_full_reads_did_not_find_is_forgotten_where_that_is_wanted(bus: Bus) -> None:
    gone, kept = ServiceId(new_uuid()), ServiceId(new_uuid())
    await publish_last(bus, _table(1, gone))
    await publish_last(bus, _table(1, kept))
    delivered: list[ServiceId] = []
    forgotten: list[str] = []

    async def deliver(table: RouteTable) -> None:
        delivered.append(table.service_id)

    async def forget(subject: str) -> None:
        forgotten.append(subject)

    watch = LastValues(bus, RouteTable, deliver, resync=timedelta(seconds=0.1), forget=forget)
    task = asyncio.create_task(watch.run())
    await asyncio.wait_for(watch.synced.wait(), 60)
    js = JetStreamContext(bus.client)
    await js.purge_stream("ROUTES", subject=f"route.{gone}")
    await eventually(lambda: forgotten == [f"route.{gone}"])
    await js.purge_stream("ROUTES", subject=f"route.{kept}")
    later = len(delivered) + 1
    await publish_last(bus, _table(2, kept))
    await eventually(lambda: len(delivered) > later)
    watch.stop()
    await asyncio.wait_for(task, 60)
    assert forgotten == [f"route.{gone}"]


async def test_a_message_that_speaks_for_another_is_dropped(bus: Bus) -> None:
    seen: list[Message] = []

    async def deliver(message: Message) -> None:
        seen.append(message)

    service = ServiceId(new_uuid())
    async with subscribed(bus, RouteTable, deliver):
        await bus.client.publish(f"route.{new_uuid()}", _table(1, service).encode())
        await bus.client.publish(f"route.{service}", b"not json")
        await publish(bus, _table(2, service))
        await eventually(lambda: len(seen) == 1)
    assert seen == [_table(2, service).model_copy(update={"project_id": seen[0].project_id})]  # type: ignore[attr-defined]


async def test_questions_are_answered_and_nobody_there_is_said(bus: Bus) -> None:
    question = ScaleRequest(
        service_id=ServiceId(new_uuid()),
        rule_id=new_uuid(),
        from_wanted=1,
        wanted=2,
        observed=0.5,
        decided_at=utc_now(),
        reason=Reason(code="above", text="0.5 > 0.1"),
    )

    async def answer(request: ScaleRequest) -> ScaleReply:
        return ScaleReply(applied=True, wanted=request.wanted, reason=request.reason)

    with pytest.raises(BusUnavailable):
        await ask(bus, question, ScaleReply, timeout_s=1)
    async with answering(bus, ScaleRequest, answer, queue="managers"):
        assert (await ask(bus, question, ScaleReply)).wanted == 2


async def test_an_answer_goes_into_an_inbox_and_nowhere_else(bus: Bus) -> None:
    question = ScaleRequest(
        service_id=ServiceId(new_uuid()),
        rule_id=new_uuid(),
        from_wanted=1,
        wanted=2,
        observed=0.5,
        decided_at=utc_now(),
        reason=Reason(code="above", text="0.5 > 0.1"),
    )

    async def answer(request: ScaleRequest) -> ScaleReply:
        return ScaleReply(applied=True, wanted=request.wanted, reason=request.reason)

    heard: list[str] = []

    async def on_message(message: Msg) -> None:
        heard.append(message.subject)

    await bus.client.subscribe(">", cb=on_message)
    async with answering(bus, ScaleRequest, answer):
        for target in ("$JS.API.STREAM.DELETE.ROUTES", "route.x", "_INBOX"):
            await bus.client.publish(question.address(), question.encode(), reply=target)
        assert (await ask(bus, question, ScaleReply)).applied, "answers come in the order of questions"
    assert {s for s in heard if not s.startswith("_INBOX_")} == {question.address()}


async def test_a_first_connect_that_fails_says_so(servers: EmbeddedServers) -> None:
    with pytest.raises(BusUnavailable):
        async with open_bus(servers.nats_url, user="manager", password="wrong", name="x"):
            pass


async def test_a_subscription_is_at_the_server_before_others_are_let_in() -> None:
    """nats-py sends the PING of a flush ahead of a subscription that waits to be written: its PONG alone proves nothing."""
    commands: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO {}\r\n")
        while line := await reader.readline():
            commands.append(line.split()[0])
            if commands[-1] == b"PING":
                writer.write(b"PONG\r\n")
        writer.close()

    async def heard(message: RouteTable) -> None:
        pytest.fail(str(message))

    async def answer(question: ScaleRequest) -> ScaleReply:
        pytest.fail(str(question))

    async def taken(messages: Sequence[RouteTable]) -> None:
        pytest.fail(str(messages))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, open_bus(url, user="manager", password="secret", name="test") as bus:
        for listening in (
            subscribed(bus, RouteTable, heard),
            answering(bus, ScaleRequest, answer),
            newest(bus, RouteTable, taken),
        ):
            commands.clear()
            async with listening:
                assert b"PING" in commands[commands.index(b"SUB") :], "an answered PING that came behind it"


async def test_a_refused_password_is_said_also_while_later_attempts_see_nothing_but_a_reset() -> None:
    """As under load: the server's reset may arrive before its words are read."""
    attempts = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            writer.write(b'INFO {"auth_required":true}\r\n')
            await reader.readuntil(b"PING\r\n")
            writer.write(b"-ERR 'Authorization Violation'\r\n")
        else:
            at_once = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    bus = Bus()
    link = Link(bus, Login(url, "manager", "wrong", "test"), asyncio.Event().wait)  # type: ignore[arg-type] # never gets there
    async with server:
        running = asyncio.create_task(link.run())
        await eventually(lambda: attempts >= 4)
        assert "Authorization Violation" in (link.check() or "")
        link.stop()
        await running
    await bus.close()


async def test_an_attempt_that_failed_has_closed_its_connection_before_the_next_one_begins(
    servers: EmbeddedServers,
) -> None:
    """Behind the address is a server first, and then one that greets nobody, as one that starts. nats-py drops such a
    connection of a reconnect unclosed.
    """
    user, password = servers.nats_user("manager")
    host, _, port = servers.nats_url.removeprefix("nats://").rpartition(":")
    open_now: set[asyncio.StreamWriter] = set()
    open_at_begin: list[int] = []
    first: list[asyncio.StreamWriter] = []
    serving: list[asyncio.Task[None]] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not first:
            first.append(writer)
            behind = await asyncio.open_connection(host, int(port))
            await asyncio.gather(copy(reader, behind[1]), copy(behind[0], writer))
            return
        open_at_begin.append(len(open_now))
        open_now.add(writer)
        writer.write_eof()  # our side says nothing more; theirs has to close
        await reader.read()
        open_now.discard(writer)
        writer.close()

    def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(taken, "127.0.0.1", 0)
    bus = Bus()
    async with server:
        await bus.open(Login(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", user, password, "test"))
        first[0].close()
        await eventually(lambda: len(open_at_begin) >= 3)
        assert open_at_begin[:3] == [0, 0, 0]
        await bus.close()
        await asyncio.gather(*serving)
