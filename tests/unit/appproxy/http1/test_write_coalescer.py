"""What a turn of the event loop sends leaves together, in order, and before the end of its connection."""

from __future__ import annotations

import asyncio

from headrace.appproxy.dataplane.http1.write_coalescer import CoalescingProtocol, DeferredCall, WriteCoalescer


class Wire:
    """A transport that remembers what was done to it."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.done.append("close")
        self.closing = True

    def abort(self) -> None:
        self.done.append("abort")
        self.closing = True


def senders(number: int) -> list[tuple[CoalescingProtocol, Wire]]:
    outbox = WriteCoalescer()
    made = []
    for _ in range(number):
        sender, wire = CoalescingProtocol(outbox), Wire()
        sender.transport = wire
        made.append((sender, wire))
    return made


async def test_a_turn_is_sent_as_one() -> None:
    (one, first), (two, second) = senders(2)
    for data in (b"a", b"b"):
        one.write(data)
        two.write(data.upper())
    assert (first.done, second.done) == ([], [])
    await asyncio.sleep(0)
    assert (first.done, second.done) == ([b"ab"], [b"AB"])
    one.write(b"c")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert first.done == [b"ab", b"c"]


async def test_nothing_overtakes_and_nothing_is_lost_before_an_end() -> None:
    (ends, first), (half, second), (aborts, third), (gone, fourth) = senders(4)
    for sender in (ends, half, aborts, gone):
        sender.write(b"last words")
    ends.end()
    half.end_sending()
    aborts.abort()
    fourth.closing = True
    await asyncio.sleep(0)
    assert first.done == [b"last words", "close"]
    assert second.done == [b"last words", "eof"]
    assert third.done == ["abort"]
    assert fourth.done == []
    ends.write(b"too late")
    await asyncio.sleep(0)
    assert first.done == [b"last words", "close"]


async def test_what_may_wait_is_done_after_all_has_left_and_its_failures_stay_its_own() -> None:
    outbox = WriteCoalescer()
    order: list[object] = []
    sender, wire = CoalescingProtocol(outbox), Wire()
    sender.transport = wire
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
    failure = LookupError("a bug")

    def fails() -> None:
        order.append(list(wire.done))
        raise failure

    outbox.defer(DeferredCall(fails))
    outbox.defer(DeferredCall(lambda: order.append("the next one")))
    sender.write(b"a")
    await asyncio.sleep(0)
    assert order == [[b"a"], "the next one"]
    assert raised == [failure]
    outbox.defer(DeferredCall(lambda: order.append("alone")))
    await asyncio.sleep(0)
    assert order[2:] == ["alone"]
