"""The asynchronous client: the same calls as the synchronous one's, and tasks that are cancelled end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import pytest

from headrace.sdk import ApiError, AsyncClient, UnreachableError
from tests.support.fakes.manager_api import KEY, FakeManagerApi, fake_manager_api, service_view
from tests.support.wait import eventually

PARALLEL = 4


@pytest.fixture
async def client() -> AsyncIterator[tuple[AsyncClient, FakeManagerApi]]:
    with fake_manager_api() as there:
        async with AsyncClient(there.url, KEY, parallel=PARALLEL) as made:
            yield made, there


async def test_results_and_errors_are_those_of_the_synchronous_client(
    client: tuple[AsyncClient, FakeManagerApi],
) -> None:
    made, there = client
    there.on("GET", "/v1/services/echo", service_view())
    first = {"items": [service_view("a"), service_view("b")], "next": "2"}
    there.on("GET", "/v1/services", first, {"items": [service_view("c")], "next": None})
    assert (await made.services.get("echo")).name == "echo"
    assert [service.name async for service in made.services.list(project="x")] == ["a", "b", "c"]
    with pytest.raises(ApiError) as refused:
        await made.services.get("nothing")
    assert refused.value.status == 404


async def test_calls_run_side_by_side(client: tuple[AsyncClient, FakeManagerApi]) -> None:
    made, there = client
    await _idle(made)  # each meets the others
    there.on("GET", "/v1/services/echo", service_view())
    assert len(await asyncio.gather(*(made.services.get("echo") for _ in range(50)))) == 50


async def test_a_wait_that_is_cancelled_asks_no_more(client: tuple[AsyncClient, FakeManagerApi]) -> None:
    made, there = client
    there.on("GET", "/v1/services/echo", service_view())
    waiting = asyncio.create_task(made.services.wait("echo", every_s=0.01, timeout_s=600))
    await eventually(lambda: len(there.seen) > 2, within_s=30)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    await _idle(made)
    asked = len(there.seen)
    assert (await made.services.get("echo")).name == "echo", "others go on"
    assert len(there.seen) == asked + 1


async def test_a_followed_log_that_is_left_is_closed(client: tuple[AsyncClient, FakeManagerApi]) -> None:
    made, there = client
    there.log_lines = [b"2026-01-01T12:00:00Z first\n"]
    async with aclosing(made.services.logs("echo", follow=True)) as lines:
        assert await anext(lines) == "2026-01-01T12:00:00Z first"
    assert await asyncio.to_thread(there.log_closed.wait, 30)


async def test_a_followed_log_that_is_silent_is_closed_with_its_task(
    client: tuple[AsyncClient, FakeManagerApi],
) -> None:
    made, there = client
    there.log_lines = [b"2026-01-01T12:00:00Z first\n"]
    seen: list[str] = []

    async def follow() -> None:
        async with aclosing(made.services.logs("echo", follow=True)) as lines:
            seen.append(await anext(lines))
            seen.append(await anext(lines))

    following = asyncio.create_task(follow())
    await eventually(lambda: seen, within_s=30)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    assert await asyncio.to_thread(there.log_closed.wait, 30)
    await _idle(made)


async def test_closing_ends_what_is_under_way(client: tuple[AsyncClient, FakeManagerApi]) -> None:
    made, there = client
    there.on("GET", "/v1/services/echo", service_view())
    waiting = asyncio.create_task(made.services.wait("echo", every_s=600, timeout_s=6000))
    await eventually(lambda: there.seen, within_s=30)
    await made.close()
    with pytest.raises(UnreachableError, match="the client was closed"):
        await waiting


async def _idle(made: AsyncClient) -> None:
    """Wait until all threads of the client are free: only all of them at once pass a barrier."""
    meeting = threading.Barrier(PARALLEL, timeout=30)
    await asyncio.gather(*(made._calls.run(meeting.wait) for _ in range(PARALLEL)))
