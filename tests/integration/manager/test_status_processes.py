"""`headrace status` of a manager, an autoscaler, an app-proxy and an agent that really run, and of stores that are lost."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headrace.autoscaler.wiring import build as build_autoscaler
from headrace.common.runtime.instance import VERSION
from headrace.common.runtime.service import run_tasks
from headrace.embedded.stack import EmbeddedServers
from tests.support.factories.settings import autoscaler_settings
from tests.support.relay import relay
from tests.support.wait import eventually
from tests.support.worlds.appproxy import running
from tests.support.worlds.manager import ManagerWorld

QUICK = {"tick_s": 0.1, "redis_timeout_s": 1.0, "admin_port": 0}


async def shown(world: ManagerWorld, home: Path, *words: str) -> tuple[int, str]:
    """Exit status and output of the command, as somebody types it."""
    assert world.api is not None
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "HEADRACE_"))}
    environ = {**kept, "HOME": str(home), "HEADRACE_URL": world.api.url, "HEADRACE_API_KEY": world.api.key}
    command = [sys.executable, "-m", "headrace.cli", "status", *words]
    ran = await asyncio.create_subprocess_exec(*command, env=environ, stdout=asyncio.subprocess.PIPE)
    out, _ = await ran.communicate()
    return ran.returncode or 0, out.decode()


async def test_what_runs_reports_and_what_is_lost_is_named(
    world: ManagerWorld, servers: EmbeddedServers, tmp_path: Path
) -> None:
    found: dict[str, Any] = {}

    async def states() -> dict[str, str]:
        nonlocal found
        found = {part["name"]: part for part in (await world.status())["parts"]}
        return {name: part["status"] for name, part in found.items()}

    async def reach(**wanted: str) -> None:
        async def reached() -> bool:
            seen = await states()
            return {name: seen.get(name) for name in wanted} == wanted

        try:
            await eventually(reached)
        except AssertionError as error:
            raise AssertionError(f"{wanted}: {found}") from error

    (scaler, scaler_key), (proxy, proxy_key) = servers.nats_user("autoscaler"), servers.nats_user("appproxy")
    redis = urlsplit(servers.redis_url)
    login = f"{redis.username or ''}:{redis.password}@" if redis.password else ""
    async with world.whole_manager("m1"), relay(redis.hostname or "", redis.port or 0) as line:
        settings = autoscaler_settings(
            nats_url=servers.nats_url,
            nats_user=scaler,
            nats_password=scaler_key,
            redis_url=redis._replace(netloc=f"{login}127.0.0.1:{line.port}").geturl(),
            **QUICK,
        )
        of_proxy = {"id": "proxy-1", "nats_url": servers.nats_url, "nats_user": proxy, "nats_password": proxy_key}
        stop = asyncio.Event()
        async with build_autoscaler(settings) as tasks, (await world.agent()).alive():
            scaling = asyncio.create_task(run_tasks(tasks, stop))
            async with running(tmp_path / "proxy", **of_proxy):
                await reach(**dict.fromkeys(("m1", "autoscaler-1", "proxy-1", "agent-1", "redis"), "up"))
                assert found["autoscaler-1"]["version"] == found["m1"]["version"] == VERSION
                assert found["redis"]["facts"]["role"] == "master"
                assert found["redis"]["version"].count(".") >= 1
                status, out = await shown(world, tmp_path)
                rows = {line.split()[0]: line.split() for line in out.splitlines() if line and line[0] != " "}
                assert (status, rows["autoscaler"][1:4]) == (0, ["autoscaler-1", "up", VERSION])
                assert {"PART", "manager", "app-proxy", "agent", "postgresql", "nats", "redis"} <= rows.keys()
                await line.cut()
                await reach(redis="away")
                status, out = await shown(world, tmp_path)
                assert (status, "replicas stay as many as they are" in out) == (1, True)
                await line.mend()
                await reach(redis="up")
            await reach(**{"proxy-1": "stopped"})
            assert "no-app-proxy" not in {reason["code"] for reason in (await world.status())["reasons"]}
            stop.set()
            await scaling
        await reach(**{"autoscaler-1": "stopped"})
