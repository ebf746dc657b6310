"""Machines come, are drained and go: the real product with two agents, under traffic."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from tests.support.load import Load
from tests.support.wait import eventually
from tests.support.worlds.stack import Stack


def _cli(stack: Stack, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "headrace.cli", "--data", str(stack.data), *words],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


async def test_a_machine_is_drained_under_traffic_removed_and_admitted_again(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "data", runtime="process", python_image=None, agents=2, gpus=2)
    await stack.start()
    try:
        await stack.engine_service("chat", replicas=2)
        shown = await stack.api.until_healthy("chat", replicas=2)
        machine = shown["replica_list"][0]["agent_id"]
        token = (await stack.api.token("chat"))["token"]
        async with Load(f"{stack.proxy}/chat/v1/models", token, workers=3, pause_s=0.05) as load:
            await eventually(lambda: len(load.answers) > 5)
            said = await asyncio.to_thread(_cli, stack, "agent", "drain", machine, "--wait", "--message", "new RAM")
            drained = len(load.answers)
            await eventually(lambda: len(load.answers) > drained + 5)
        assert load.failures == []
        assert "finished" in said
        receipt = json.loads(_cli(stack, "agent", "drain", machine, "--json"))["receipt"]
        assert (receipt["failed"], receipt["cut"]) == (0, 0)
        replicas = (await stack.api.service("chat"))["replica_list"]
        assert machine not in {r["agent_id"] for r in replicas if r["status"] == "running"}
        assert "cordoned" in _cli(stack, "agent", "ls")

        _cli(stack, "agent", "remove", machine, "--yes", "--message", "sold")
        assert machine not in _cli(stack, "agent", "ls")
        assert "sold" in _cli(stack, "agent", "ls", "--removed")
        log = stack.data / "logs" / f"{machine}.log"
        await eventually(lambda: "machine_removed" in log.read_text())
        _cli(stack, "agent", "admit", machine)
        await eventually(lambda: machine in _cli(stack, "agent", "ls"))
    finally:
        assert await stack.stop() == 0, stack.log.read_text()[-4000:]
