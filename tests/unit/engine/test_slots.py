"""Slots: never more than allowed, first come first served, nothing leaks when callers leave."""

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.engine.problems import QueueFull
from headrace.engine.slots import Slots
from tests.support.effort import examples


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class SlotCallers:
    """Callers that hold a slot until they are told to let go."""

    def __init__(self, limit: int, longest: int) -> None:
        self.limit = limit
        self.slots = Slots(lambda: (self.limit, longest))
        self.order: list[int] = []
        self.holding: set[int] = set()
        self.leave: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def come(self) -> int:
        number = len(self.tasks)
        self.leave[number] = asyncio.Event()
        self.tasks[number] = asyncio.create_task(self._hold(number))
        return number

    async def _hold(self, number: int) -> None:
        with suppress(QueueFull):
            async with self.slots.slot():
                self.order.append(number)
                self.holding.add(number)
                try:
                    await self.leave[number].wait()
                finally:
                    self.holding.discard(number)


async def test_waiters_get_slots_in_the_order_they_came() -> None:
    world = SlotCallers(2, 10)
    for _ in range(5):
        world.come()
    await settle()
    assert (world.slots.running, world.slots.waiting) == (2, 3)
    for number in (1, 0, 2, 3, 4):
        world.leave[number].set()
        await settle()
    assert world.order == [0, 1, 2, 3, 4]
    assert (world.slots.running, world.slots.waiting) == (0, 0)


async def test_a_full_queue_refuses() -> None:
    slots = Slots(lambda: (1, 0))
    async with slots.slot():
        with pytest.raises(QueueFull, match="1 requests run and 0 wait"):
            async with slots.slot():
                pass
    assert slots.running == 0


async def test_more_slots_wake_those_who_wait() -> None:
    world = SlotCallers(1, 10)
    for _ in range(3):
        world.come()
    await settle()
    world.limit = 3
    world.slots.wake()
    await settle()
    assert world.slots.running == 3
    for event in world.leave.values():
        event.set()
    await asyncio.gather(*world.tasks.values())


async def test_a_slot_that_comes_with_the_cancellation_is_handed_on() -> None:
    world = SlotCallers(1, 10)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(world.slots.slot())
        second, third = world.come(), world.come()
        await settle()
    world.tasks[second].cancel()  # it was given the slot in this very turn, and has not run since
    await settle()
    assert world.order == [third]
    assert (world.slots.running, world.slots.waiting) == (1, 0)
    world.leave[third].set()
    await settle()
    assert world.slots.running == 0


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["come", "leave", "cancel", "limit", "turn"]), st.integers(0, 30)), max_size=60)
)
def test_any_traffic_keeps_the_limits_and_ends_empty(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        world = SlotCallers(2, 4)
        highest = 2
        for step, number in steps:
            if step == "come":
                world.come()
            elif step == "limit":
                world.limit = number % 4 + 1
                highest = max(highest, world.limit)
                world.slots.wake()
            elif step == "turn":
                await asyncio.sleep(0)
            elif world.tasks:
                chosen = number % len(world.tasks)
                world.leave[chosen].set() if step == "leave" else world.tasks[chosen].cancel()
            assert world.slots.running <= highest
            assert world.slots.waiting <= 4
            assert len(world.holding) <= world.slots.running
        await settle()
        assert world.slots.waiting == 0 or world.slots.running >= world.limit
        for event in world.leave.values():
            event.set()
        await asyncio.gather(*world.tasks.values(), return_exceptions=True)
        assert (world.slots.running, world.slots.waiting) == (0, 0)

    asyncio.run(run())
