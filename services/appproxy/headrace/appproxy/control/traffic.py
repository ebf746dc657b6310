"""Traffic sender: windows of traffic to the managers, which keep its history.

A window is kept until a manager has stored it, so that a restart of the managers costs nothing of it; what is older than
MAX_MESSAGES is dropped: it is history of a chart, no account.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from headrace.appproxy.control.traffic_windows import TrafficCounter
from headrace.appproxy.ipc.snapshot import TrafficSnapshot
from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import ask
from headrace.common.contracts.ids import ProxyId, new_uuid
from headrace.common.contracts.messages.traffic import (
    MAX_SERVICES,
    WINDOW_S,
    ServiceTraffic,
    TrafficStored,
    TrafficWindow,
)
from headrace.common.contracts.problems import BusUnavailable, MalformedMessage
from headrace.common.runtime.clock import Clock, Monotonic
from headrace.common.runtime.loop import Loop

log = structlog.get_logger()
EVERY: Final = timedelta(seconds=1)
_ANSWER_S: Final = 5.0
_RETRY_S: Final = 5.0
_MAX_SENT_AT_ONCE: Final = 12
_MAX_REPLICAS_OF_MESSAGE: Final = 1000
"""Of up to 500 bytes each: a message of the bus has 1 MiB."""
MAX_MESSAGES: Final = 90
"""Messages that wait for a manager: a quarter of an hour with up to MAX_SERVICES busy services."""


class TrafficSender:
    """Sender of traffic, as a task."""

    name = "traffic"

    def __init__(
        self,
        *,
        proxy_id: ProxyId,
        bus: Bus,
        counter: TrafficCounter,
        snapshot: Callable[[], TrafficSnapshot],
        clock: Clock,
        monotonic: Monotonic,
    ) -> None:
        self._proxy_id = proxy_id
        self._bus = bus
        self._counter = counter
        self._snapshot = snapshot
        self._clock = clock
        self._monotonic = monotonic
        self._writer = new_uuid()
        self._window = _window_of(clock())
        self._waiting: deque[TrafficWindow] = deque(maxlen=MAX_MESSAGES)
        self._retry_at_s = monotonic()
        self._unanswered = False
        """Whether no manager has stored the last message that was sent."""
        self._loop = Loop("traffic", self.one_pass, every=EVERY, monotonic=monotonic)

    def stop(self) -> None:
        """Make run() return."""
        self._loop.stop()

    async def run(self) -> None:
        """Count and send until stop(), and once more at the end."""
        await self._loop.run()
        self._counter.look(self._snapshot())
        self._close()
        await self._send()

    async def one_pass(self) -> None:
        """Look at what is open; close the window if it is over, and send what waits."""
        snapshot = self._snapshot()
        now = _window_of(self._clock())
        if now > self._window:  # a clock that was set back: the window goes on until then
            self._close()
            self._window = now
        self._counter.look(snapshot)
        if self._waiting and self._bus.connected and self._monotonic() >= self._retry_at_s:
            await self._send()

    def _close(self) -> None:
        for part in _parts(self._counter.close()):
            self._waiting.append(
                TrafficWindow(proxy_id=self._proxy_id, writer=self._writer, at=self._window, services=part)
            )

    async def _send(self) -> None:
        for _ in range(min(len(self._waiting), _MAX_SENT_AT_ONCE)):
            try:
                await ask(self._bus, self._waiting[0], TrafficStored, timeout_s=_ANSWER_S)
            except (BusUnavailable, MalformedMessage) as problem:
                if not self._unanswered:  # said once, not for as long as it lasts
                    log.warning("traffic_not_acknowledged", why=problem.detail)
                self._unanswered = True
                self._retry_at_s = self._monotonic() + _RETRY_S
                return
            self._waiting.popleft()
            if self._unanswered:
                log.info("traffic_acknowledged")
            self._unanswered = False


def _parts(services: Sequence[ServiceTraffic]) -> Iterator[tuple[ServiceTraffic, ...]]:
    """Yield the services of each message; at least one message, which says that nothing else was counted."""
    part: list[ServiceTraffic] = []
    replicas = 0
    for one in services:
        replicas += len(one.replicas)
        if part and (len(part) == MAX_SERVICES or replicas > _MAX_REPLICAS_OF_MESSAGE):
            yield tuple(part)
            part, replicas = [], len(one.replicas)
        part.append(one)
    yield tuple(part)


def _window_of(now: datetime) -> datetime:
    """Return the beginning of the window in which `now` is."""
    seconds = int(now.timestamp())
    return datetime.fromtimestamp(seconds - seconds % WINDOW_S, UTC)
