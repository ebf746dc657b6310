"""Parts of a stack stand still: the status names each of them, since when, and what it means; and nothing else."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


async def status(stack: Stack) -> dict[str, Any]:
    return dict(await stack.api.call("GET", "/v1/status"))


async def is_healthy(stack: Stack) -> bool:
    return bool((await status(stack))["status"] == "healthy")


async def stand_still(stack: Stack, names: dict[str, str], wanted: dict[str, tuple[str, str]]) -> None:
    """Let these processes (`names`: process → part) stand still until parts have the wanted status and reason; then go on."""
    seen: dict[str, tuple[str, str]] = {}

    async def told() -> bool:
        found = await status(stack)
        for part in found["parts"]:
            seen[part["name"]] = (part["status"], part["reasons"][0]["code"] if part["reasons"] else "")
        still = {part for _, part in names.items()} | wanted.keys()
        fine = {name for name, (state, _) in seen.items() if state == "up"}
        return {name: seen.get(name) for name in wanted} == wanted and not still & fine

    for name in names:
        stack.kill(name, signal.SIGSTOP)
    try:
        await eventually(told, within_s=60)
    except AssertionError as error:
        raise AssertionError(f"{wanted}: {seen}") from error
    finally:
        for name in names:
            stack.kill(name, signal.SIGCONT)
    await eventually(lambda: is_healthy(stack), within_s=60)


async def test_what_stands_still_is_named_and_forgiven_once_it_goes_on(stack: Stack) -> None:
    await eventually(lambda: is_healthy(stack), within_s=60)
    services = {"autoscaler": "autoscaler-1", "appproxy": "proxy-1", "agent-1": "agent-1"}
    silent = ("away", "silent")
    await stand_still(
        stack,
        services,
        {
            "autoscaler-1": silent,
            "proxy-1": silent,
            "agent-1": ("away", "machine-lost"),
            "redis": ("unknown", "not-reported"),
        },
    )
    await stand_still(
        stack, {"valkey": "redis"}, {"redis": ("away", "unreachable"), "autoscaler-1": ("degraded", "not-ready")}
    )
    cut_off = ("unknown", "cut-off")
    await stand_still(
        stack,
        {"nats": "nats"},
        {
            "nats": ("away", "unreachable"),
            "proxy-1": cut_off,
            "autoscaler-1": cut_off,
            "manager-1": ("degraded", "not-ready"),
        },
    )
