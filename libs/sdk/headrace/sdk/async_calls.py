"""Calls of the synchronous client in threads, awaited: what AsyncClient is made of.

The synchronous client is the only implementation: one way to connect, to retry, to resume and to wait. A method of a group becomes
an awaitable one by `awaited`, one that yields by `iterated`, with the same parameters for type checkers.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar

from headrace.sdk.client import Client

P = ParamSpec("P")
R = TypeVar("R")
PARALLEL: Final = 32
"""Calls at once of one client; further ones wait for one of these to end."""
_END: Final = object()


class Calls:
    """Threads in which calls of a client run."""

    def __init__(self, client: Client, *, parallel: int) -> None:
        self._client = client
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="headrace-sdk")

    def client(self, *, own: bool) -> AbstractContextManager[Client]:
        """Return the client, or one with its own connections, which ends what it does when it is left."""
        return self._client.another() if own else nullcontext(self._client)

    async def run(self, work: Callable[[], R]) -> R:
        """Return the result of `work`, run in a thread."""
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(context.run, work))

    async def close(self) -> None:
        """Close the client: calls that are under way fail."""
        await asyncio.to_thread(self._client.close)
        self._threads.shutdown(wait=False, cancel_futures=True)


class AsyncGroup:
    """Asynchronous twin of a group of the client; of the client itself where `noun` is empty."""

    def __init__(self, calls: Calls, noun: str) -> None:
        self._calls = calls
        self._noun = noun

    async def call(self, method: Callable[..., R], *given: Any, own: bool, **named: Any) -> R:
        """Return the result of a method of the group; see `awaited`."""
        with self._calls.client(own=own) as client:
            return await self._calls.run(partial(method, self._group(client), *given, **named))

    async def each(
        self, method: Callable[..., Iterator[R]], *given: Any, own: bool, **named: Any
    ) -> AsyncGenerator[R, None]:
        """Yield the items that a method of the group yields; see `iterated`."""
        with self._calls.client(own=own) as client:
            items = method(self._group(client), *given, **named)
            while True:
                item: Any = await self._calls.run(partial(next, items, _END))
                if item is _END:
                    return
                yield item

    def _group(self, client: Client) -> Any:
        return getattr(client, self._noun) if self._noun else client


class _Twin(Generic[P, R]):
    """Method of an asynchronous group: that of the synchronous one, with its parameters and documentation."""

    def __init__(self, method: Callable[..., Any], *, long: bool) -> None:
        self.method, self.long = method, long
        self.__doc__ = method.__doc__


class awaited(_Twin[P, R]):  # noqa: N801 - used as a function
    """Awaitable twin of a method. A `long` one has connections of its own, so that it ends where its task is cancelled;
    of another one the request goes on then, until it is answered or timed out, and its result is dropped.
    """

    def __init__(self, method: Callable[Concatenate[Any, P], R], *, long: bool = False) -> None:
        super().__init__(method, long=long)

    def __get__(self, group: AsyncGroup, _owner: type[AsyncGroup]) -> Callable[P, Coroutine[Any, Any, R]]:
        return partial(group.call, self.method, own=self.long)


class iterated(_Twin[P, R]):  # noqa: N801 - used as a function
    """Twin of a method that yields, an asynchronous generator. `long`: as of `awaited`."""

    def __init__(self, method: Callable[Concatenate[Any, P], Iterator[R]], *, long: bool = False) -> None:
        super().__init__(method, long=long)

    def __get__(self, group: AsyncGroup, _owner: type[AsyncGroup]) -> Callable[P, AsyncGenerator[R, None]]:
        return partial(group.each, self.method, own=self.long)
