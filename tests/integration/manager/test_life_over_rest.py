"""The life of services over REST, in random orders and while machines come and go, against a model of what must hold.

Real parts are the API, its use cases and loops, PostgreSQL and NATS; machines and the app-proxy are fakes on that bus.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headrace.common.contracts.ids import ServiceId
from tests.support.api import Api
from tests.support.effort import examples
from tests.support.fakes.agent import FakeAgent
from tests.support.fakes.appproxy import FakeAppProxy
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld

R = TypeVar("R")
EXAMPLES = 15
STEPS = 14
MAX_CRASHES = 2
"""In an example: the pause before the next start doubles with each."""
CPU_OF_ONE = 0.5
"""What a replica takes; a machine has 8, so that one of the two has room for all."""
QUICK: dict[str, Any] = {
    "lost_after": timedelta(seconds=1),
    "reconcile_every": timedelta(seconds=0.3),
    "verify_every": timedelta(seconds=2),
}


@dataclass
class Service:
    """What the model knows of a service."""

    replicas: int
    specs: list[str] = field(default_factory=lambda: ["1"])
    """Value of its variable, by revision."""
    stopped: bool = False

    @property
    def serving(self) -> int:
        return 0 if self.stopped else self.replicas


class Fleet:
    """Two machines that come and go, an app-proxy, and the API, for calls from another thread."""

    def __init__(self, api: Api, agents: list[FakeAgent], proxy: FakeAppProxy) -> None:
        self.api, self.agents, self.proxy = api, agents, proxy
        self.made = 0
        """Services of all examples, which have names of their own."""
        self._loop = asyncio.get_running_loop()
        self._alive: dict[str, AsyncExitStack] = {}

    def does(self, work: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    async def come(self, agent: FakeAgent) -> None:
        if agent.id not in self._alive:
            self._alive[agent.id] = AsyncExitStack()
            await self._alive[agent.id].enter_async_context(agent.alive())

    async def go(self, agent: FakeAgent) -> None:
        if agent.id in self._alive:
            await self._alive.pop(agent.id).aclose()


class Life(RuleBasedStateMachine):
    """Users change services of one project; each answer, and what becomes of it, is as in the model."""

    fleet: Fleet
    services: Bundle[str] = Bundle("services")

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, Service] = {}
        self.deleted: set[str] = set()
        self.variable = 1
        self.crashes = 0

    @initialize(target=services)
    def begins_with_both_machines_and_a_service(self) -> str:
        self._both_machines()
        return self._create(2)

    # Users

    @rule(target=services, replicas=st.integers(0, 3))
    def creates(self, replicas: int) -> str:
        return self._create(replicas)

    def _create(self, replicas: int) -> str:
        self.fleet.made += 1
        name = f"s-{self.fleet.made}"
        self._call(
            "POST", "/v1/services", {"name": name, "project": "p", "replicas": replicas, **_spec("1")}, expect=201
        )
        self.model[name] = Service(replicas)
        return name

    @rule(name=services)
    def creates_it_again(self, name: str) -> None:
        self._call("POST", "/v1/services", {"name": name, "project": "p", **_spec("1")}, expect=409)

    @rule(name=services)
    def updates(self, name: str) -> None:
        self.variable += 1
        value = str(self.variable)
        self._call("PATCH", f"/v1/services/{name}", {"spec": _spec(value)})
        self.model[name].specs.append(value)

    @rule(name=services)
    def updates_to_what_it_is(self, name: str) -> None:
        self._call("PATCH", f"/v1/services/{name}", {"spec": _spec(self.model[name].specs[-1])})

    @rule(name=services, replicas=st.integers(0, 4))
    def scales(self, name: str, replicas: int) -> None:
        self._call("PATCH", f"/v1/services/{name}", {"replicas": replicas})
        self.model[name].replicas = replicas

    @rule(name=services, back=st.integers(1, 3))
    def rolls_back(self, name: str, back: int) -> None:
        specs = self.model[name].specs
        if back < len(specs):
            revision = len(specs) - back
            self._call("POST", f"/v1/services/{name}/rollback", {"revision": revision})
            if specs[revision - 1] != specs[-1]:  # else it is what runs already
                specs.append(specs[revision - 1])
        else:
            self._call("POST", f"/v1/services/{name}/rollback", {"revision": len(specs) + back}, expect=404)

    @rule(name=services)
    def stops(self, name: str) -> None:
        self._call("POST", f"/v1/services/{name}/stop")
        self.model[name].stopped = True

    @rule(name=services)
    def starts(self, name: str) -> None:
        self._call("POST", f"/v1/services/{name}/start")
        self.model[name].stopped = False

    @rule(name=consumes(services))
    def deletes(self, name: str) -> None:
        self._call("DELETE", f"/v1/services/{name}", expect=(200, 202, 204))
        del self.model[name]
        self.deleted.add(name)

    # The fleet

    @rule(which=st.integers(0, 1))
    def loses_a_machine(self, which: int) -> None:
        self.fleet.does(self.fleet.come(self.fleet.agents[1 - which]))
        self.fleet.does(self.fleet.go(self.fleet.agents[which]))

    @rule(which=st.integers(0, 1))
    def gets_a_machine_back(self, which: int) -> None:
        self.fleet.does(self.fleet.come(self.fleet.agents[which]))

    @precondition(lambda self: self.crashes < MAX_CRASHES)
    @rule(which=st.integers(0, 1))
    def loses_a_replica(self, which: int) -> None:
        """One of a machine's programs ends, as if it had crashed."""
        agent = self.fleet.agents[which]
        running = [kernel for kernel in agent.kernels if kernel not in agent.ends]
        if running:
            self.crashes += 1
            agent.ends[running[0]] = "crashed"
            agent.report_now()

    # What must hold

    @invariant()
    def names_counts_and_revisions_are_those_that_were_asked_for(self) -> None:
        seen = {one["name"]: one for one in self._call("GET", "/v1/services?limit=500")["items"]}
        assert self.model.keys() <= seen.keys() <= self.model.keys() | self.deleted
        for name, service in self.model.items():
            assert (seen[name]["replicas"], seen[name]["revision"]) == (service.replicas, len(service.specs)), name

    @rule()
    def everything_becomes_as_it_was_asked_for(self) -> None:
        self.fleet.does(self._converged())

    def teardown(self) -> None:
        """Delete everything: nothing is held afterwards, whatever went before."""
        for name in list(self.model):
            self.deletes(name)
        self._both_machines()
        self.fleet.does(self._converged())
        assert not any(agent.kernels for agent in self.fleet.agents)

    def _both_machines(self) -> None:
        for agent in self.fleet.agents:
            self.fleet.does(self.fleet.come(agent))

    async def _converged(self) -> None:
        async def as_asked_for() -> bool:
            for name, service in self.model.items():
                seen = await self.fleet.api.service(name)
                wanted = ("stopped", 0) if service.stopped else ("deployed", service.replicas)
                assert (seen["phase"], len(seen["replica_list"])) == wanted, (name, seen["reason"])
                assert seen["status"] == ("healthy" if service.serving else "unhealthy"), (name, seen["reason"])
                assert {one["revision"] for one in seen["replica_list"]} <= {len(service.specs)}
                assert seen["effective"]["environ"]["VARIABLE"] == service.specs[-1]
                assert self.fleet.proxy.serving(ServiceId(UUID(seen["id"]))) == service.serving, name
            listed = (await self.fleet.api.call("GET", "/v1/services?limit=500"))["items"]
            assert {one["name"] for one in listed} == self.model.keys()
            used = (await self.fleet.api.call("GET", "/v1/projects/p/usage"))["used"]
            serving = sum(service.serving for service in self.model.values())
            assert float(used.get("cpu", 0)) == serving * CPU_OF_ONE
            return True

        await eventually(as_asked_for, within_s=90, every_s=0.1, what=f"as in {self.model}")
        for name in self.deleted:
            await self.fleet.api.call("GET", f"/v1/services/{name}", expect=404)
        for name, service in self.model.items():
            revisions = (await self.fleet.api.call("GET", f"/v1/services/{name}/revisions?limit=500"))["items"]
            assert [one["number"] for one in revisions] == list(range(1, len(service.specs) + 1))
            assert [one["spec"]["environ"]["VARIABLE"] for one in revisions] == service.specs

    def _call(self, method: str, path: str, body: object = None, *, expect: int | tuple[int, ...] = 200) -> Any:
        return self.fleet.does(self.fleet.api.call(method, path, body, expect=expect))


def _spec(value: str) -> dict[str, Any]:
    slots = {"cpu": str(CPU_OF_ONE), "mem": "16m"}
    return {"runtime": "cmd", "image": "img", "command": ["serve"], "slots": slots, "environ": {"VARIABLE": value}}


@pytest.mark.timeout(400)
async def test_services_live_as_the_model_says(world: ManagerWorld) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(world.whole_manager("m1", **QUICK))
        assert world.api is not None
        fleet = Fleet(world.api, [await world.agent("agent-1"), await world.agent("agent-2")], await world.proxy())
        for agent in fleet.agents:
            stack.push_async_callback(fleet.go, agent)
        machine = type("Life", (Life,), {"fleet": fleet})
        effort = settings(
            max_examples=examples(EXAMPLES),
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # a shorter way to a failure costs minutes: each try waits for what does not come
        )
        await asyncio.to_thread(run_state_machine_as_test, machine, settings=effort)
