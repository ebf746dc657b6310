"""Reader of a stream of live events, without the SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.api import Api


@dataclass(frozen=True)
class Seen:
    """One event."""

    name: str
    data: Any = None
    id: str = ""

    @property
    def what(self) -> tuple[str, str]:
        """Kind and id of a change."""
        return self.data["kind"], self.data["id"]


class LiveStream:
    """Open stream."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> Seen:
        """Return the next event."""
        seen: dict[str, str] = {}
        async with asyncio.timeout(30):
            while line := await anext(self._lines):
                name, _, value = line.partition(":")
                seen[name] = value.strip()
        if "retry" in seen:
            return await self.next()
        return Seen(seen.get("event", ""), json.loads(seen["data"]) if "data" in seen else None, seen.get("id", ""))

    async def until(self, name: str) -> list[Seen]:
        """Return the events up to the next one of this name."""
        found = [await self.next()]
        while found[-1].name != name:
            found.append(await self.next())
        return found

    async def ended(self) -> bool:
        """Return whether the stream is over."""
        return await anext(self._lines, None) is None


@asynccontextmanager
async def following(api: Api, query: str = "", **headers: str) -> AsyncIterator[LiveStream]:
    """Follow live events while inside."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with api.http.stream("GET", f"/v1/events{query}", headers=sent) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        yield LiveStream(answer.aiter_lines())
