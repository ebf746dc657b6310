"""Publishing last values: what is published when, in which generation, and what the stream holds in the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from nats.js import JetStreamContext

from headrace.common.bus.connect import Bus
from headrace.common.bus.followed import FollowedStream
from headrace.common.bus.publish import publish_last
from headrace.common.bus.stored import stored_generations
from headrace.common.contracts.ids import ProjectId, ServiceId, new_uuid
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.db.pool import Connection, Pool
from headrace.manager.loops import publishing as publishing_loop
from headrace.manager.loops.publishing import PublishingLoop
from headrace.manager.metrics import TABLES_UNBUILT
from headrace.manager.store.tables import PendingPublication
from tests.support.wait import eventually

PROJECT = ProjectId(new_uuid())


@dataclass
class Facts:
    """Services and how many replicas each wants; stands for what the database says, and notes changes as its triggers do."""

    pool: Pool
    wanted: dict[ServiceId, int] = field(default_factory=dict)
    unmarked: set[ServiceId] = field(default_factory=set)
    marked: list[tuple[ServiceId, int]] = field(default_factory=list)
    too_large: set[ServiceId] = field(default_factory=set)
    refused: set[ServiceId] = field(default_factory=set)
    reads: list[int] = field(default_factory=list)
    """How many tables each read was of."""
    kind: str = "route"
    prefix: str = "route."
    told: bool = True

    async def keys(self, _: Connection, after: str, most: int) -> list[str]:
        return [key for key in sorted(map(str, self.wanted)) if key > after][:most]

    async def read(self, _: Connection, keys: Sequence[str]) -> list[PendingPublication[RouteTable]]:
        self.reads.append(len(keys))
        return [
            PendingPublication(
                f"route.{service}", str(service), service in self.unmarked, partial(self._build, service, wanted)
            )
            for service, wanted in self.wanted.items()
            if str(service) in keys
        ]

    def _build(self, service: ServiceId, wanted: int) -> RouteTable:
        name = "x" * 9_000_000 if service in self.too_large else "s"
        host = None if service in self.refused else "h"
        route = {"session_id": service, "revision_id": service, "host": host, "port": 1, "health": "healthy"}
        facts = {"service_id": service, "generation": 1, "name": "s", "project_id": PROJECT, "wanted": wanted}
        return RouteTable.model_validate({**facts, "routes": [route]}).model_copy(update={"name": name})

    async def mark(self, _: Connection, tables: Sequence[RouteTable]) -> None:
        for table in tables:
            self.unmarked.discard(table.service_id)
            self.marked.append((table.service_id, table.generation))

    async def add(self, wanted: int = 1) -> ServiceId:
        service = ServiceId(new_uuid())
        await self.want(service, wanted)
        return service

    async def want(self, service: ServiceId, wanted: int) -> None:
        self.wanted[service] = wanted
        await self.note(service)

    async def note(self, service: ServiceId) -> None:
        await self.pool.execute("insert into table_changes (kind, key) values ('route', $1)", str(service))


def publishing_of(pool: Pool, bus: Bus, facts: Facts) -> PublishingLoop[RouteTable]:
    return PublishingLoop(pool, bus, RouteTable, facts, verify=timedelta(hours=1))


async def _stored(bus: Bus, service: ServiceId) -> RouteTable:
    message = await JetStreamContext(bus.client).get_last_msg("ROUTES", f"route.{service}", direct=True)
    assert message.data is not None
    return RouteTable.decode(message.data)


async def _messages(bus: Bus) -> int:
    return (await JetStreamContext(bus.client).stream_info("ROUTES")).state.last_seq


async def test_each_change_is_a_generation_and_nothing_else_is_published(pool: Pool, bus: Bus) -> None:
    facts = Facts(pool)
    one, two = await facts.add(), await facts.add()
    publishing = publishing_of(pool, bus, facts)
    for _ in range(3):
        await publishing.one_pass()
    assert await _messages(bus) == 2
    facts.unmarked.add(one)
    await facts.want(one, 5)
    for _ in range(3):
        await publishing.one_pass()
    assert await _messages(bus) == 3
    assert await stored_generations(bus, RouteTable) == {f"route.{one}": 2, f"route.{two}": 1}
    assert (await _stored(bus, one)).wanted == 5
    assert facts.marked == [(one, 2)], "what waits for a mark gets the generation that was published, and nothing else"


async def test_a_manager_that_starts_publishes_only_what_is_missing(pool: Pool, bus: Bus) -> None:
    facts = Facts(pool)
    services = [await facts.add() for _ in range(5)]
    await publishing_of(pool, bus, facts).one_pass()
    await facts.want(services[2], 9)
    await publishing_of(pool, bus, facts).one_pass()
    assert await _messages(bus) == 6


async def test_rows_that_wait_for_a_mark_get_it_though_the_table_is_the_same(pool: Pool, bus: Bus) -> None:
    facts = Facts(pool)
    service = await facts.add()
    publishing = publishing_of(pool, bus, facts)
    await publishing.one_pass()
    facts.marked.clear()
    facts.unmarked.add(service)
    await facts.note(service)
    await publishing.one_pass()
    assert facts.marked == [(service, 1)], "the generation that is out already shows it"


async def test_what_the_stream_lost_or_holds_in_an_older_state_comes_back(pool: Pool, bus: Bus) -> None:
    facts = Facts(pool)
    lost, late = await facts.add(), await facts.add()
    publishing = publishing_of(pool, bus, facts)
    await publishing.one_pass()
    old = await _stored(bus, late)
    await facts.want(late, 2)
    await publishing.one_pass()
    await publish_last(bus, old)  # another manager was slow
    await JetStreamContext(bus.client).purge_stream("ROUTES", subject=f"route.{lost}")
    await publishing.one_pass()
    assert await stored_generations(bus, RouteTable) == {f"route.{late}": 1}, "nothing told it yet"
    publishing.verify_soon()
    await publishing.one_pass()
    assert await stored_generations(bus, RouteTable) == {f"route.{lost}": 1, f"route.{late}": 2}
    assert (await _stored(bus, late)).wanted == 2


async def test_a_database_from_a_backup_goes_on_above_what_readers_have(pool: Pool, bus: Bus) -> None:
    facts = Facts(pool)
    service = await facts.add()
    publishing = publishing_of(pool, bus, facts)
    for wanted in (1, 2, 3, 4):
        await facts.want(service, wanted)
        await publishing.one_pass()
    await pool.execute("delete from publications")
    await facts.want(service, 1)
    restarted = publishing_of(pool, bus, facts)
    for _ in range(2):
        await restarted.one_pass()
    table = await _stored(bus, service)
    assert (table.generation, table.wanted) == (5, 1)


@pytest.mark.parametrize(
    ("fault", "why"), [("too_large", "9,00[0-9],.* bytes; the bus carries"), ("refused", "routes.0.host: Input should")]
)
async def test_a_table_that_cannot_be_made_is_told_and_does_not_hold_up_the_others(
    pool: Pool, bus: Bus, fault: str, why: str
) -> None:
    facts = Facts(pool)
    bad = await facts.add()
    publishing = publishing_of(pool, bus, facts)
    await publishing.one_pass()
    good = [await facts.add() for _ in range(5)]
    getattr(facts, fault).add(bad)
    await facts.want(bad, 2)
    for manager in (publishing, publishing_of(pool, bus, facts)):
        await manager.one_pass()
        stored = await stored_generations(bus, RouteTable)
        assert stored == {f"route.{service}": 1 for service in (bad, *good)}
        assert list(manager.unbuilt) == [f"route.{bad}"]
    told = dict(await pool.fetch("select subject, problem from publications where problem is not null"))
    assert list(told) == [f"route.{bad}"]
    assert re.search(why, told[f"route.{bad}"])
    getattr(facts, fault).clear()
    await facts.note(bad)
    await publishing.one_pass()
    assert (await _stored(bus, bad)).wanted == 2
    assert await pool.fetchval("select count(*) from publications where problem is not null") == 0
    assert publishing.unbuilt == {}


async def test_a_table_that_cannot_be_made_is_forgotten_with_what_it_was_of(pool: Pool, bus: Bus) -> None:
    facts = Facts(pool)
    bad = await facts.add()
    facts.refused.add(bad)
    publishing = publishing_of(pool, bus, facts)
    await publishing.one_pass()
    assert list(publishing.unbuilt) == [f"route.{bad}"]
    del facts.wanted[bad]
    await facts.note(bad)
    await publishing.one_pass()
    assert publishing.unbuilt == {}
    assert TABLES_UNBUILT.labels("RouteTable")._value.get() == 0


async def test_a_change_costs_what_it_concerns_and_a_pass_without_news_reads_no_table(pool: Pool, bus: Bus) -> None:
    facts = Facts(pool)
    services = [await facts.add() for _ in range(350)]
    publishing = publishing_of(pool, bus, facts)
    await publishing.one_pass()
    assert await _messages(bus) == 350
    facts.reads.clear()
    for _ in range(5):
        await publishing.one_pass()
    assert facts.reads == [], "the slow look is a page a second"
    await facts.want(services[7], 3)
    await publishing.one_pass()
    assert facts.reads == [1]


async def test_what_nobody_noted_is_found_by_the_slow_look(pool: Pool, bus: Bus) -> None:
    facts = Facts(pool)
    services = [await facts.add() for _ in range(250)]
    publishing = publishing_of(pool, bus, facts)
    await publishing.one_pass()
    facts.wanted[services[201]] = 9

    async def found() -> bool:
        await publishing.one_pass()
        return (await _stored(bus, services[201])).wanted == 9

    await eventually(found)
    assert max(facts.reads[-5:]) <= 100


async def test_managers_at_once_never_give_one_generation_two_contents(pool: Pool, bus: Bus) -> None:
    facts = Facts(pool)
    service = await facts.add(0)
    managers = [publishing_of(pool, bus, facts) for _ in range(3)]
    contents: dict[int, set[int]] = {}

    async def heard(message: Any) -> None:
        table = RouteTable.decode(message.data)
        contents.setdefault(table.generation, set()).add(table.wanted)

    subscription = await bus.client.subscribe("route.*", cb=heard)
    for wanted in range(1, 20):
        await facts.want(service, wanted)
        passes = [asyncio.create_task(manager.one_pass()) for manager in managers]
        await asyncio.sleep(0)
        await facts.want(service, wanted + 100)
        await asyncio.gather(*passes)
    managers[0].verify_soon()
    await managers[0].one_pass()
    await bus.flush()
    await subscription.drain()  # type: ignore[no-untyped-call]
    assert all(len(each) == 1 for each in contents.values()), contents
    last = await _stored(bus, service)
    assert (last.generation, last.wanted) == (max(contents), 119)


async def test_the_look_at_the_start_leaves_out_what_the_pass_made_and_goes_on_where_it_was_cut_short(
    pool: Pool, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = Facts(pool)
    for _ in range(250):
        await facts.add()
    await pool.execute("insert into table_changes (kind, key) select kind, key from table_changes where key <> ''")
    publishing = publishing_of(pool, bus, facts)
    await publishing.one_pass()
    assert 250 <= sum(facts.reads) < 300, "once, whatever is noted of them; few that two workers had in hand"

    facts.reads.clear()
    restarted = publishing_of(pool, bus, facts)
    read, broken = facts.read, iter([False, True, False, False])

    async def breaks(con: Connection, keys: Sequence[str]) -> list[PendingPublication[RouteTable]]:
        if next(broken):
            raise TimeoutError
        return await read(con, keys)

    monkeypatch.setattr(facts, "read", breaks)
    with pytest.raises(TimeoutError):
        await restarted.one_pass()
    await restarted.one_pass()
    assert facts.reads == [100, 100, 50]
    assert next(broken, None) is None


async def test_the_slow_look_reads_few_tables_at_once_and_stops_once_it_took_long(
    pool: Pool, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = Facts(pool)
    for _ in range(110):
        await facts.add()
    publishing = publishing_of(pool, bus, facts)
    await publishing.one_pass()
    monkeypatch.setattr(publishing_loop, "LOOK_S", 0.0)
    found = []
    for most in (60.0, 60.0, -1.0, 60.0):
        facts.reads.clear()
        monkeypatch.setattr(publishing_loop, "MAX_LOOK_S", most)
        await publishing.one_pass()
        found.append(list(facts.reads))
    assert found == [[20] * 5, [10], [20], [20] * 4 + [10]]


async def test_a_bus_that_comes_back_while_the_stream_is_compared_is_looked_at_again(
    pool: Pool, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    look = FollowedStream.look

    async def counted(stream: FollowedStream) -> None:
        nonlocal looks
        looks += 1
        await look(stream)

    monkeypatch.setattr(FollowedStream, "look", counted)

    def back() -> dict[ServiceId, int]:
        if looks == 1:
            loop.verify_soon()
        return {}

    loop = PublishingLoop(pool, bus, RouteTable, Facts(pool), verify=timedelta(hours=1), claimed=back)
    for looked in (1, 2, 2):
        await loop.one_pass()
        assert looks == looked
