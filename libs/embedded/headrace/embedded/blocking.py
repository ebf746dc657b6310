"""The embedded servers for code without an event loop, such as pytest's session fixtures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from headrace.common.bus.permissions import BusUser, embedded_users
from headrace.embedded.stack import SERVERS, EmbeddedServers


@contextmanager
def servers_in_thread(
    data: Path,
    *,
    only: Collection[str] = SERVERS,
    users: Sequence[BusUser] = embedded_users(1),
    durable: bool = True,
    identity: str | None = None,
) -> Iterator[EmbeddedServers]:
    """Run EmbeddedServers in a thread until the context ends; arguments and errors are the same.

    The thread lives as long as the servers, which the kernel ties to it.
    """
    servers = EmbeddedServers(data, only=only, users=users, durable=durable, identity=identity)
    started: Future[None] = Future()
    stop: Future[None] = Future()

    async def run() -> None:
        async with servers:
            started.set_result(None)
            await asyncio.wrap_future(stop)

    def main() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=main, name="embedded-servers", daemon=True)
    thread.start()
    try:
        started.result()
        yield servers
    finally:
        stop.set_result(None)
        thread.join()
