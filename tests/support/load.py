"""Load generator on one endpoint, which records every answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import httpx


@dataclass
class Answer:
    """One request: its number, send time (monotonic seconds), duration, and result."""

    number: int
    sent_at: float
    seconds: float
    outcome: str
    """`200`, another status, or the name of the error."""


@dataclass
class Load:
    """Workers that call one URL in a loop while inside the context, each with its own connection."""

    url: str
    token: str | None
    workers: int = 8
    body: dict[str, object] | None = None
    pause_s: float = 0.05
    """Between an answer and the worker's next request. Enough requests to be in flight at every moment, and not so many
    that the load itself takes all cores and what it is about waits for them; 0 where a test counts answers."""
    keep_alive: bool = True
    """False: a connection of its own for each request, as callers need that must not meet one which is just being closed."""
    sent: int = 0
    answers: list[Answer] = field(default_factory=list)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def failures(self) -> list[Answer]:
        """All answers but 200."""
        return [a for a in self.answers if a.outcome != "200"]

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self.workers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _work(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= {} if self.keep_alive else {"Connection": "close"}
        async with httpx.AsyncClient(verify=False, headers=headers, timeout=60) as client:
            while not self._stop.is_set():
                sent = time.monotonic()
                self.sent += 1
                number = self.sent
                try:
                    answer = await (client.post(self.url, json=self.body) if self.body else client.get(self.url))
                    outcome = (
                        str(answer.status_code)
                        if answer.status_code == 200
                        else f"{answer.status_code} {answer.text[:300]}"
                    )
                except httpx.HTTPError as error:
                    outcome = f"{type(error).__name__} {error}"
                self.answers.append(Answer(number, sent, time.monotonic() - sent, outcome))
                if self.pause_s:
                    await asyncio.sleep(self.pause_s)
