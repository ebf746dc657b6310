"""Updates in a row under load, with every request accounted for: `python -m tests.chaos.updates --updates 100`.

OpenAI's client calls the service all the while, without retries of its own: short requests, and streams that outlast several
updates. None may be lost, none cut before its drain's grace is over. Prints the account; the exit status is 1 when it is not even.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from openai import AsyncOpenAI, OpenAIError

from tests.support.api import Api
from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

TOKENS = 200
TOKEN_S = 0.05
"""A stream has so many tokens, one each 50 ms: ten seconds, while an update takes about five."""
GRACE_S = 60
PAUSE_S = 0.1
ENGINE = {
    "HEADRACE_ENGINE_TIME_PER_TOKEN_S": str(TOKEN_S),
    "HEADRACE_ENGINE_ANSWER_TOKENS": str(TOKENS),
    "HEADRACE_ENGINE_MAX_RUNNING": "256",
}


@dataclass
class Account:
    """What became of all requests."""

    updates: int = 0
    short: Counter[str] = field(default_factory=Counter)
    """Outcomes of short requests; `done` is a whole answer."""
    streams: Counter[str] = field(default_factory=Counter)
    """The same of streams: `done` has every token."""
    receipts: Counter[str] = field(default_factory=Counter)
    """What the drains of replaced replicas say of the requests that were open at them."""

    @property
    def wrong(self) -> list[str]:
        """What is not even."""
        lost = [f"{number} {kind}: {outcome}" for kind, seen in self._kinds() for outcome, number in seen.items()]
        cut = [f"{self.receipts[how]} requests were {how} by drains" for how in ("failed", "cut") if self.receipts[how]]
        ended = sum(self.receipts[how] for how in ("finished", "retried", "failed", "cut"))
        uneven = [f"of {self.receipts['started']} open requests {ended} ended"] * (ended != self.receipts["started"])
        return [line for line in lost if not line.endswith(": done")] + cut + uneven

    def text(self) -> str:
        """Return the account in lines."""
        return "\n".join(
            [
                f"updates              {self.updates}",
                *(f"{kind:<20} {dict(seen)}" for kind, seen in self._kinds()),
                f"{'receipts of drains':<20} {dict(self.receipts)}",
                *(f"wrong: {line}" for line in self.wrong),
            ]
        )

    def _kinds(self) -> list[tuple[str, Counter[str]]]:
        return [("short requests", self.short), ("streams", self.streams)]


class Callers:
    """Clients that call the service until they are told to stop; streams are read to their end."""

    def __init__(self, account: Account, url: str, token: str, *, short: int, streams: int) -> None:
        self._account = account
        self._client = AsyncOpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=120)
        self._works: list[Callable[[], Any]] = [*[self._short] * short, *[self._stream] * streams]
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Callers:
        self._tasks = [asyncio.create_task(self._repeat(work)) for work in self._works]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await self._client.close()

    async def _repeat(self, work: Callable[[], Any]) -> None:
        while not self._stop.is_set():
            await work()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), PAUSE_S)

    async def _short(self) -> None:
        try:
            answer = await self._client.chat.completions.create(
                model="chat", max_tokens=2, messages=[{"role": "user", "content": "hello"}]
            )
            self._account.short["done" if answer.choices[0].message.content else "empty"] += 1
        except OpenAIError as error:
            self._account.short[repr(error)[:200]] += 1

    async def _stream(self) -> None:
        tokens, end = 0, None
        try:
            chunks = await self._client.chat.completions.create(
                model="chat", max_tokens=TOKENS, messages=[{"role": "user", "content": "hello"}], stream=True
            )
            async for chunk in chunks:
                for choice in chunk.choices:
                    tokens += bool(choice.delta.content)
                    end = choice.finish_reason or end
            whole = tokens == TOKENS and end is not None
            self._account.streams["done" if whole else f"{tokens} tokens, {end}"] += 1
        except Exception as error:  # noqa: BLE001 - whatever ends a stream early is its outcome
            self._account.streams[f"after {tokens} tokens: {error!r}"[:200]] += 1


async def updates_in_a_row(
    stack: Stack, name: str, *, updates: int, short: int = 4, streams: int = 4, say: Callable[[str], None] = print
) -> Account:
    """Create a service, update it so many times under load, and return the account of all requests."""
    account, api = Account(), stack.api
    await stack.engine_service(name, replicas=2, drain_grace_s=GRACE_S, environ={**ENGINE, "ROUND": "0"})
    await api.until_healthy(name, replicas=2)
    token = (await api.token(name))["token"]
    async with Callers(account, f"{stack.proxy}/{name}", token, short=short, streams=streams):
        for number in range(1, updates + 1):
            spec = stack.engine_spec(name, environ={**ENGINE, "ROUND": str(number)})
            await api.call("PATCH", f"/v1/services/{name}", {"spec": spec, "message": f"update {number}"})
            await eventually(lambda number=number: _serves(api, name, number + 1), within_s=120, every_s=0.2)
            account.updates += 1
            say(f"update {number} of {updates}: {dict(account.short)} {dict(account.streams)}")
    await eventually(lambda: _drained(api, name, updates + 1), within_s=GRACE_S + 30, every_s=0.5)
    for revision in range(2, updates + 2):
        receipt = await api.call("GET", f"/v1/services/{name}/revisions/{revision}/receipt")
        account.receipts.update({how: receipt[how] for how in ("started", "finished", "retried", "failed", "cut")})
    await api.remove(name, within_s=GRACE_S + 30)
    return account


async def _serves(api: Api, name: str, revision: int) -> bool:
    """Return whether this revision is the only one that gets new requests."""
    seen = await api.service(name)
    assert seen["revision"] == revision, seen["last_failed_rollout"]
    return bool(seen["phase"] == "deployed" and seen["served_revision"] == revision)


async def _drained(api: Api, name: str, revision: int) -> bool:
    """Return whether no replica of an earlier revision is left, and every receipt is whole."""
    receipt = await api.call("GET", f"/v1/services/{name}/revisions/{revision}/receipt")
    return bool(receipt["complete"]) and len((await api.service(name))["replica_list"]) == 2


async def _main(updates: int, streams: int) -> int:
    with TemporaryDirectory(prefix="headrace-updates-") as folder:
        stack = Stack(Path(folder) / "data", runtime="process", python_image=None)
        await stack.start()
        try:
            account = await updates_in_a_row(stack, "chat", updates=updates, streams=streams)
        finally:
            await stack.stop()
    sys.stdout.write(account.text() + "\n")
    return int(bool(account.wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.updates", description="Updates in a row under load.")
    parser.add_argument("--updates", type=int, default=100, help="how many (100)")
    parser.add_argument("--streams", type=int, default=4, help="long streams at a time (4)")
    given = parser.parse_args()
    sys.exit(asyncio.run(_main(given.updates, given.streams)))
