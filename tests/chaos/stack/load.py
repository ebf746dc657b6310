"""Load generator at a steady rate, with all kinds of requests; each has an id and gets an outcome."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

import websockets
from websockets.asyncio.client import connect

from tests.chaos.stack.account import Kind, RequestRecord
from tests.chaos.stack.fleet import ELASTIC, SOCKET, STREAM, UNARY
from tests.chaos.stack.http import Client, Lost, cut, refused

PATIENCE_S = 150.0
"""Longer than all that may make a request wait: its turn (60 s), its answer (30 s), a stream (3 s)."""
MIX: tuple[tuple[Kind, str, float], ...] = (
    ("get", UNARY, 0.25),
    ("post", UNARY, 0.25),
    ("fleet", UNARY, 0.1),
    ("stream", STREAM, 0.12),
    ("socket", SOCKET, 0.08),
    ("get", ELASTIC, 0.1),
    ("post", ELASTIC, 0.1),
)


@dataclass
class Callers:
    """What callers have: the app-proxy's address, their credentials, and the share of each kind of request."""

    host: str
    port: int
    tokens: dict[str, str]
    """By service."""
    project_token: str
    mix: tuple[tuple[Kind, str, float], ...] = MIX


class Load:
    """Sends requests while inside the context; on leaving, all of them have an outcome."""

    def __init__(self, callers: Callers, *, rate: float, seed: int) -> None:
        self.asked: list[RequestRecord] = []
        self.sent = 0
        self.slow_ms = 30
        """How long a call of the service that scales takes: more calls are open then."""
        self._callers, self._rate, self._chance = callers, rate, Random(f"load/{seed}")
        self._client = Client(callers.host, callers.port)
        self._open: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Load:
        self._sending = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        if self._sending is not None:
            await self._sending
        while self._open:
            await asyncio.wait(self._open)
        self._client.close()

    @property
    def open(self) -> int:
        """Number of requests without an outcome."""
        return len(self._open)

    async def _send(self) -> None:
        mix = self._callers.mix
        kinds, weights = [(kind, service) for kind, service, _ in mix], [weight for _, _, weight in mix]
        due = time.monotonic()
        while not self._stop.is_set():
            due += self._chance.expovariate(self._rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            kind, service = self._chance.choices(kinds, weights)[0]
            self.one(kind, service)

    def one(self, kind: Kind, service: str) -> None:
        """Send a request."""
        self.sent += 1
        task = asyncio.create_task(self._one(kind, service, f"{kind}-{self.sent}"))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _one(self, kind: Kind, service: str, name: str) -> None:
        sent_s = time.monotonic()
        how: Callable[[str, str], Awaitable[str]] = {
            "get": self._get,
            "post": self._post,
            "fleet": self._by_model,
            "stream": self._stream,
            "socket": self._socket,
        }[kind]
        try:
            async with asyncio.timeout(PATIENCE_S):
                outcome = await how(service, name)
        except TimeoutError:
            outcome = "timeout"
        except Lost as lost:
            outcome = str(lost)
        except OSError:
            outcome = "no-connection"
        self.asked.append(RequestRecord(name, kind, service, sent_s, time.monotonic(), outcome))

    def _ms(self, service: str) -> int:
        return self.slow_ms if service == ELASTIC else 30

    async def _get(self, service: str, name: str) -> str:
        return await self._whole(
            "GET", f"/{service}/get?id={name}&ms={self._ms(service)}", self._callers.tokens[service], name, b""
        )

    async def _post(self, service: str, name: str) -> str:
        body = self._chance.randbytes(self._chance.choice((100, 5_000, 60_000)))
        return await self._whole(
            "POST", f"/{service}/post?id={name}&ms={self._ms(service)}", self._callers.tokens[service], name, body
        )

    async def _by_model(self, service: str, name: str) -> str:
        body = json.dumps({"messages": [{"role": "user", "content": name}], "model": f"model-{service}"}).encode()
        return await self._whole("POST", f"/v1/chat/completions?id={name}", self._callers.project_token, name, body)

    async def _whole(self, method: str, target: str, token: str, name: str, body: bytes) -> str:
        answer = await self._client.ask(method, target, token, name, body)
        if answer.status != 200:
            return refused(answer.status, answer.body) if answer.whole else "cut"
        if not answer.whole:
            return cut(answer.body)
        told = json.loads(answer.body)
        if told["id"] != name:
            return f"wrong:the answer to {told['id']}"
        return "200" if told["sha256"] == hashlib.sha256(body).hexdigest() else "wrong:another body arrived"

    async def _stream(self, service: str, name: str) -> str:
        events, every_ms = self._chance.randint(5, 25), self._chance.choice((20, 60, 120))
        target = f"/{service}/stream?id={name}&events={events}&every_ms={every_ms}"
        answer = await self._client.ask("POST", target, self._callers.tokens[service], name, b"{}")
        if answer.status != 200:
            return refused(answer.status, answer.body) if answer.whole else "cut"
        wanted = (
            b"".join(b"data: %b %d\n\n" % (name.encode(), number) for number in range(events)) + b"data: [DONE]\n\n"
        )
        if answer.whole:
            return "200" if answer.body == wanted else "wrong:a whole stream without its events"
        # An event that was cut in its middle is ended before the proxy's own.
        got = answer.body.partition(b"event: error\n")[0].rstrip(b"\n")
        return cut(answer.body) if wanted.startswith(got) else "wrong:a cut stream with other events"

    async def _socket(self, service: str, name: str) -> str:
        url = f"ws://{self._callers.host}:{self._callers.port}/{service}/ws?id={name}"
        fields = {"Authorization": f"Bearer {self._callers.tokens[service]}", "X-Request-Id": name}
        number, pause_s = self._chance.randint(2, 15), self._chance.choice((0.02, 0.1, 0.2))
        try:
            async with connect(
                url, additional_headers=fields, ping_interval=None, open_timeout=PATIENCE_S, proxy=None
            ) as socket:
                for n in range(number):
                    await socket.send(f"{name} {n}")
                    if await socket.recv() != f"{name} {n}":
                        return "wrong:another message came back"
                    await asyncio.sleep(pause_s)
        except websockets.InvalidStatus as error:
            return refused(error.response.status_code, bytes(error.response.body or b""))
        except websockets.ConnectionClosed:
            return "cut"
        except (websockets.InvalidMessage, EOFError):
            return "lost"
        return "200"
