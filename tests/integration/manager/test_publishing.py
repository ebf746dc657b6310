"""Publishing last values: what is published when, in which generation, and what the stream holds in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from nats.js import JetStreamContext

from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import publish_last
from headrace.common.bus.stored import stored_generations
from headrace.common.contracts.ids import ProjectId, ServiceId, new_uuid
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.db.pool import Connection, Pool
from headrace.manager.reconcile.publishing import Publishing
from headrace.manager.store.tables import Draft

PROJECT = ProjectId(new_uuid())


@dataclass
class Facts:
    """Services and how many replicas each wants; stands for what the database says."""

    wanted: dict[ServiceId, int] = field(default_factory=dict)
    unmarked: set[ServiceId] = field(default_factory=set)
    marked: list[tuple[ServiceId, int]] = field(default_factory=list)
    too_large: set[ServiceId] = field(default_factory=set)

    async def read(self, _: Connection, only: Sequence[Any] | None) -> list[Draft[RouteTable]]:
        return [
            Draft(f"route.{service}", service, wanted, service in self.unmarked, partial(self._build, service, wanted))
            for service, wanted in self.wanted.items()
            if only is None or service in only
        ]

    def _build(self, service: ServiceId, wanted: int) -> RouteTable:
        name = "x" * 9_000_000 if service in self.too_large else "s"
        table = RouteTable(service_id=service, generation=1, name="s", project_id=PROJECT, wanted=wanted)
        return table.model_copy(update={"name": name})

    async def mark(self, _: Connection, table: RouteTable) -> None:
        self.unmarked.discard(table.service_id)
        self.marked.append((table.service_id, table.generation))

    def add(self, wanted: int = 1) -> ServiceId:
        service = ServiceId(new_uuid())
        self.wanted[service] = wanted
        return service


def _publishing(pool: Pool, bus: Bus, facts: Facts) -> Publishing[RouteTable]:
    return Publishing(pool, bus, RouteTable, read=facts.read, mark=facts.mark, verify=timedelta(hours=1))


async def _stored(bus: Bus, service: ServiceId) -> RouteTable:
    message = await JetStreamContext(bus.client).get_last_msg("ROUTES", f"route.{service}", direct=True)
    assert message.data is not None
    return RouteTable.decode(message.data)


async def _messages(bus: Bus) -> int:
    return (await JetStreamContext(bus.client).stream_info("ROUTES")).state.last_seq


async def test_each_change_is_a_generation_and_nothing_else_is_published(pool: Pool, bus: Bus) -> None:
    facts = Facts()
    one, two = facts.add(), facts.add()
    publishing = _publishing(pool, bus, facts)
    for _ in range(3):
        await publishing.one_pass()
    assert await _messages(bus) == 2
    facts.wanted[one] = 5
    for _ in range(3):
        await publishing.one_pass()
    assert await _messages(bus) == 3
    assert await stored_generations(bus, RouteTable) == {f"route.{one}": 2, f"route.{two}": 1}
    assert (await _stored(bus, one)).wanted == 5
    assert facts.marked[-1] == (one, 2), "the mark names the generation that was published"


async def test_a_manager_that_starts_publishes_only_what_is_missing(pool: Pool, bus: Bus) -> None:
    facts = Facts()
    services = [facts.add() for _ in range(5)]
    await _publishing(pool, bus, facts).one_pass()
    facts.wanted[services[2]] = 9
    await _publishing(pool, bus, facts).one_pass()
    assert await _messages(bus) == 6


async def test_rows_that_wait_for_a_mark_get_it_though_the_table_is_the_same(pool: Pool, bus: Bus) -> None:
    facts = Facts()
    service = facts.add()
    publishing = _publishing(pool, bus, facts)
    await publishing.one_pass()
    facts.marked.clear()
    facts.unmarked.add(service)
    await publishing.one_pass()
    assert facts.marked == [(service, 1)], "the generation that is out already shows it"


async def test_what_the_stream_lost_or_holds_in_an_older_state_comes_back(pool: Pool, bus: Bus) -> None:
    facts = Facts()
    lost, late = facts.add(), facts.add()
    publishing = _publishing(pool, bus, facts)
    await publishing.one_pass()
    old = await _stored(bus, late)
    facts.wanted[late] = 2
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
    facts = Facts()
    service = facts.add()
    publishing = _publishing(pool, bus, facts)
    for wanted in (1, 2, 3, 4):
        facts.wanted[service] = wanted
        await publishing.one_pass()
    await pool.execute("delete from publications")
    facts.wanted[service] = 1
    restarted = _publishing(pool, bus, facts)
    for _ in range(2):
        await restarted.one_pass()
    table = await _stored(bus, service)
    assert (table.generation, table.wanted) == (5, 1)


async def test_one_refused_table_does_not_hold_up_the_others(pool: Pool, bus: Bus) -> None:
    facts = Facts()
    bad = facts.add()
    good = [facts.add() for _ in range(5)]
    facts.too_large = {bad}
    publishing = _publishing(pool, bus, facts)
    with pytest.raises(BusUnavailable, match="maximum payload"):
        await publishing.one_pass()
    assert set(await stored_generations(bus, RouteTable)) == {f"route.{service}" for service in good}
    facts.too_large = set()
    facts.wanted[bad] = 2
    await publishing.one_pass()
    assert (await _stored(bus, bad)).wanted == 2


async def test_managers_at_once_never_give_one_generation_two_contents(pool: Pool, bus: Bus) -> None:
    facts = Facts()
    service = facts.add(0)
    managers = [_publishing(pool, bus, facts) for _ in range(3)]
    contents: dict[int, set[int]] = {}

    async def heard(message: Any) -> None:
        table = RouteTable.decode(message.data)
        contents.setdefault(table.generation, set()).add(table.wanted)

    subscription = await bus.client.subscribe("route.*", cb=heard)
    for wanted in range(1, 20):
        facts.wanted[service] = wanted
        passes = [asyncio.create_task(manager.one_pass()) for manager in managers]
        await asyncio.sleep(0)
        facts.wanted[service] = wanted + 100
        await asyncio.gather(*passes)
    managers[0].verify_soon()
    await managers[0].one_pass()
    await bus.client.flush()
    await subscription.unsubscribe()
    assert all(len(each) == 1 for each in contents.values()), contents
    last = await _stored(bus, service)
    assert (last.generation, last.wanted) == (max(contents), 119)
