"""Sender of usage: whatever fails in between (managers, answers, disk, the process), each request is stored once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from headrace.appproxy.control import usage
from headrace.appproxy.control.exposition import USAGE_LOST
from headrace.appproxy.control.usage import UsageSender
from headrace.appproxy.ipc.usage import UsageCounts, UsageSums
from headrace.appproxy.ipc.usage_files import UsageFiles, batch_of
from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import ServiceId, new_uuid
from headrace.common.contracts.messages.usage import MAX_ROWS, UsageBatch, UsageStored
from headrace.common.contracts.problems import BusUnavailable

SERVICE = ServiceId(new_uuid())


def counts(caller: str = "public", requests: int = 1, hour: int = 500_000) -> UsageCounts:
    """Requests of a caller."""
    return UsageCounts(
        hour=hour,
        service_id=SERVICE,
        revision_id=None,
        caller=caller,
        requests=requests,
        errors=0,
        refused=0,
        prompt_tokens=0,
        completion_tokens=0,
        estimated_tokens=0,
        audio_ms=0,
        last_s=hour * 3600.0,
    )


class Managers:
    """Managers behind a bus: they store each number of a writer once, as the database does."""

    def __init__(self) -> None:
        self.away = False
        self.answers_get_lost = False
        self.silent: asyncio.Event | None = None
        """Set once they are asked, and do not answer."""
        self.last: dict[UUID, int] = {}
        self.requests = 0
        self.batches = 0

    async def ask(self, _bus: Bus, batch: UsageBatch, _reply: type[UsageStored], *, timeout_s: float) -> UsageStored:
        assert timeout_s > 0
        if self.silent is not None:
            self.silent.set()
            await asyncio.Event().wait()
        if self.away:
            raise BusUnavailable("no manager")
        if batch.sequence > self.last.get(batch.writer, 0):
            self.last[batch.writer] = batch.sequence
            self.requests += sum(row.requests for row in batch.rows)
            self.batches += 1
        if self.answers_get_lost:
            raise BusUnavailable("the answer did not come")
        return UsageStored(added=len(batch.rows))


class ConnectedBus(Bus):
    """Bus that is connected."""

    connected = True


class FailingFiles(UsageFiles):
    """Folder on a disk that is full while `full`."""

    full = False

    def write(self, batch: UsageBatch) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().write(batch)


class World:
    """An app-proxy's sender, which can be started again on the same folder."""

    def __init__(self, folder: Path, managers: Managers) -> None:
        self.managers = managers
        self.now_s = 100.0
        self.sums = UsageSums()
        self.files = FailingFiles(folder / "usage")
        self.files.prepare()
        self.start()

    def start(self) -> None:
        """Start a process; the one before is killed."""
        self.sums = UsageSums()
        self.sender = UsageSender(
            proxy_id="proxy-1",
            bus=ConnectedBus(),
            sums=self.sums,
            collect=lambda: None,
            files=self.files,
            monotonic=lambda: self.now_s,
        )

    async def later(self, seconds: float = 1.0) -> None:
        """Make the next pass."""
        self.now_s += seconds
        await self.sender.one_pass()

    @property
    def names(self) -> list[str]:
        return self.files.names()


@pytest.fixture
def managers(monkeypatch: pytest.MonkeyPatch) -> Managers:
    there = Managers()
    monkeypatch.setattr(usage, "ask", there.ask)
    return there


@pytest.fixture
def world(tmp_path: Path, managers: Managers) -> World:
    return World(tmp_path, managers)


async def test_counts_are_on_disk_within_a_second_and_with_managers_within_five(world: World) -> None:
    await world.later()
    for _ in range(4):
        world.sums.add([counts()])
        await world.later()
    assert len(world.names) == 1
    assert world.managers.batches == 0
    await world.later()
    assert (world.managers.requests, world.managers.batches, world.names) == (4, 1, [])
    await world.later(5)
    assert world.managers.batches == 1, "nothing was counted, nothing is sent"


async def test_what_a_killed_process_had_on_disk_is_sent_by_the_next(world: World) -> None:
    world.managers.away = True
    world.sums.add([counts(requests=3)])
    await world.later()
    world.sums.add([counts(requests=100)])
    world.start()
    world.managers.away = False
    world.sums.add([counts(requests=4)])
    await world.later(5)
    assert (world.managers.requests, world.names) == (7, []), "only what was counted since the last pass is lost"


async def test_an_answer_that_is_lost_makes_nothing_count_twice(world: World) -> None:
    world.managers.answers_get_lost = True
    for _ in range(4):
        world.sums.add([counts()])
        await world.later(5)
    world.start()
    await world.later(5)
    assert world.managers.requests == 1, "later ones wait for the first"
    world.managers.answers_get_lost = False
    for _ in range(2):
        await world.later(5)
    assert (world.managers.requests, world.names) == (4, [])


async def test_while_managers_are_away_the_disk_has_rows_of_callers_not_of_requests(world: World) -> None:
    world.managers.away = True
    for _ in range(30):
        world.sums.add([counts(f"token:{new_uuid()}") for _ in range(2)])
        world.sums.add([counts()])
        await world.later(10)
    assert len(world.names) <= 2
    world.managers.away = False
    for _ in range(2):
        await world.later(5)
    assert (world.managers.requests, world.names) == (90, [])


async def test_many_rows_are_several_batches(world: World) -> None:
    world.managers.away = True
    await world.later(5)
    world.sums.add([counts(f"token:{new_uuid()}") for _ in range(2 * MAX_ROWS + 10)])
    await world.later(1)
    assert [len(batch.rows) for name in world.names if (batch := world.files.read(name))] == [MAX_ROWS, MAX_ROWS, 10]
    world.managers.away = False
    await world.later(5)
    assert (world.managers.requests, world.names) == (2 * MAX_ROWS + 10, [])


async def test_a_full_disk_costs_nothing_while_managers_answer(world: World) -> None:
    world.files.full = True
    for _ in range(3):
        world.sums.add([counts()])
        await world.later(5)
    assert world.managers.requests == 3
    world.managers.answers_get_lost = True
    for _ in range(2):
        world.sums.add([counts()])
        await world.later(5)
    world.managers.answers_get_lost = False
    world.files.full = False
    for _ in range(2):
        await world.later(5)
    assert (world.managers.requests, world.names) == (5, [])


async def test_a_pass_that_is_cancelled_while_it_sends_loses_nothing(world: World) -> None:
    world.files.full = True
    world.sums.add([counts(requests=3)])
    world.managers.silent = asyncio.Event()
    passing = asyncio.create_task(world.later(5))
    await world.managers.silent.wait()
    passing.cancel()
    await asyncio.gather(passing, return_exceptions=True)
    world.managers.silent = None
    await world.later(5)
    assert world.managers.requests == 3


async def test_what_neither_disk_nor_managers_take_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MAX_UNWRITTEN", 1)
    world.managers.away = world.files.full = True
    before = USAGE_LOST._value.get()
    world.sums.add([counts(f"token:{new_uuid()}") for _ in range(MAX_ROWS + 1)])
    await world.later()
    world.sums.add([counts(requests=7)])
    await world.later()
    assert USAGE_LOST._value.get() - before == 7
    world.managers.away = world.files.full = False
    for _ in range(3):
        await world.later(5)
    assert world.managers.requests == MAX_ROWS + 1


async def test_what_a_worker_left_behind_is_sent_and_what_is_damaged_is_put_aside(world: World) -> None:
    await world.later(5)
    world.files.write(batch_of("proxy-1", new_uuid(), 1, [counts(requests=5)]))
    (world.files._folder / f"{new_uuid().hex}-0000000001.json").write_text('{"rows": 1}')
    world.sums.add([counts()])
    await world.later(5)
    assert (world.managers.requests, world.names) == (6, [])
    assert len(list(world.files._folder.glob("*.refused"))) == 1
