"""The Docker runtime over an engine that lists its containers slowly."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Network
from typing import Any

from headrace.agent.runtime.docker.container import ContainerDefaults, container_name
from headrace.agent.runtime.docker.firewall import Firewall
from headrace.agent.runtime.docker.networks import NetworkPolicy, SessionNetworks
from headrace.agent.runtime.docker.registries import RegistryAllowList
from headrace.agent.runtime.docker.runtime import DockerRuntime
from headrace.common.contracts.ids import KernelId, new_uuid

KERNEL, SESSION = KernelId(new_uuid()), str(new_uuid())
POLICY = NetworkPolicy(None, IPv4Network("10.213.0.0/16"), 27, "off", local_engine=False)


class SlowEngine:
    """Holds one container and its session's network. The answer to a list of containers comes when its event is set."""

    local = False

    def __init__(self, *answers: asyncio.Event) -> None:
        self.containers = {container_name("a", KERNEL)}
        self.networks = {"n1"}
        self.answers = list(answers)
        self.listed = [asyncio.Event() for _ in answers]

    async def call(self, method: str, path: str, **_: object) -> Any:
        match method, path:
            case "GET", "/containers/json":
                rows = [self._row() for _ in self.containers]
                self.listed[-len(self.answers)].set()
                await self.answers.pop(0).wait()
                return rows
            case "GET", "/networks":
                return [{"Id": one, "Name": one, "Labels": {"headrace.session": SESSION}} for one in self.networks]
            case "DELETE", _ if path.startswith("/networks/"):
                self.networks.remove(path.rpartition("/")[2])
            case "DELETE", _:
                self.containers.clear()
        return {"Mounts": []}

    def _row(self) -> dict[str, Any]:
        labels = {"headrace.kernel": str(KERNEL), "headrace.session": SESSION, "headrace.port": "20001"}
        return {"Id": "c1", "State": "running", "Created": 0, "Labels": labels}


async def test_a_sessions_network_goes_with_its_last_container_though_another_task_listed_them_just_before() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    engine = SlowEngine(first, second)
    runtime = DockerRuntime(
        engine,  # type: ignore[arg-type]
        SessionNetworks(engine, "a", "/data", POLICY, Firewall("/data", ())),  # type: ignore[arg-type]
        RegistryAllowList((), only_listed=False),
        agent_id="a",
        host="127.0.0.1",
        common=ContainerDefaults("/data", "127.0.0.1", pids=100, shm_bytes=2**20),
        pull_timeout_s=1.0,
    )
    look = asyncio.create_task(runtime.list())
    await engine.listed[0].wait()
    removal = asyncio.create_task(runtime.remove(KERNEL))
    await engine.listed[1].wait()
    first.set()
    assert set(await look) == {KERNEL}, "listed before it went"
    second.set()
    await removal
    assert engine.networks == set()
