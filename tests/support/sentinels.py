"""Three real Sentinels that watch two Valkey servers: a primary, and a replica that they promote."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from headrace.embedded.binaries import valkey_server
from headrace.embedded.ports import HOST
from headrace.embedded.process import Child, Command
from headrace.embedded.valkey import valkey_config
from tests.support.ports import free_port
from tests.support.wait import eventually

SERVICE, PASSWORD, SENTINEL_PASSWORD = "headrace", "secret", "sentinels"


class Server:
    """A Valkey server, or a Sentinel: its process, which a test kills and stalls."""

    def __init__(self, folder: Path, *options: str, password: str) -> None:
        folder.mkdir(parents=True)
        self.port, self.folder = free_port(), folder
        self._options, self._password = options, password
        self._config = folder / "server.conf"
        self._child: Child | None = None

    def configure(self, text: str) -> None:
        """Write its configuration; the server changes it in operation."""
        self._config.write_text(text)

    async def start(self) -> None:
        """Start it, and return once it answers."""
        command = Command((str(valkey_server()), str(self._config), *self._options), {"LC_ALL": "C"})
        self._child = Child.start(command, self.folder / "log")
        await eventually(self.answers, what=f"{self.folder.name} answers")

    def signal(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        assert self._child is not None
        self._child.signal(number)

    async def kill(self) -> None:
        """End it without a chance to say so."""
        assert self._child is not None
        self._child.signal(signal.SIGCONT)
        self._child.signal(signal.SIGKILL)
        await self._child.wait()

    async def ask(self, *words: object) -> Any:
        """Run a command there."""
        async with Redis(
            host=HOST, port=self.port, password=self._password, socket_timeout=5, decode_responses=True
        ) as client:
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]

    async def answers(self) -> bool:
        """Whether it does."""
        try:
            return bool(await self.ask("PING"))
        except Exception as error:
            raise AssertionError(error) from error


class Sentinels:
    """The servers and their Sentinels."""

    def __init__(self, folder: Path) -> None:
        self.servers = [Server(folder / name, password=PASSWORD) for name in ("valkey-1", "valkey-2")]
        self.sentinels = [
            Server(folder / f"sentinel-{number}", "--sentinel", password=SENTINEL_PASSWORD) for number in (1, 2, 3)
        ]

    @property
    def url(self) -> str:
        """Their address, as the setting has it."""
        hosts = ",".join(f"{HOST}:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}/0?sentinel_password={SENTINEL_PASSWORD}"

    async def primary(self) -> Server:
        """Return the server that the Sentinels name."""
        alive = [one for one in self.sentinels if await one.answers()]
        _, port = await alive[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(one for one in self.servers if one.port == int(port))

    async def start(self) -> None:
        """Start all, and return once the replica has what the primary has, and each Sentinel knows all others."""
        first = self.servers[0]
        for server in self.servers:
            data = server.folder / "data"
            data.mkdir()
            text = valkey_config(data=data, port=server.port, password=PASSWORD) + f"masterauth {PASSWORD}\n"
            more = "" if server is first else f"replicaof {HOST} {first.port}\n"
            server.configure(f"{text}{more}repl-diskless-sync-delay 0\n")
            await server.start()
        for sentinel in self.sentinels:
            sentinel.configure(
                f"port {sentinel.port}\nbind {HOST}\nrequirepass {SENTINEL_PASSWORD}\ndir {sentinel.folder}\n"
                f"sentinel monitor {SERVICE} {HOST} {first.port} 2\nsentinel auth-pass {SERVICE} {PASSWORD}\n"
                f"sentinel down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 5000\n"
            )
            await sentinel.start()

        async def known() -> bool:
            for sentinel in self.sentinels:
                told = await sentinel.ask("SENTINEL", "MASTER", SERVICE)
                if (int(told["num-slaves"]), int(told["num-other-sentinels"])) != (1, 2):
                    return False
            return bool((await self.servers[1].ask("INFO", "replication"))["master_link_status"] == "up")

        await eventually(known, within_s=60, every_s=0.1)

    async def stop(self) -> None:
        """End all that run."""
        for one in (*self.sentinels, *self.servers):
            if one._child is not None:
                await one.kill()


@asynccontextmanager
async def sentinels_running(folder: Path) -> AsyncIterator[Sentinels]:
    """Run them; ended at the end."""
    group = Sentinels(folder)
    try:
        await group.start()
        yield group
    finally:
        await group.stop()
