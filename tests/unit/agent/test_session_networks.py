"""Sweeping sessions' networks while the engine refuses or does not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from headrace.agent.runtime.docker.engine import EngineError
from headrace.agent.runtime.docker.firewall import Firewall
from headrace.agent.runtime.docker.networks import NetworkPolicy, SessionNetworks
from headrace.agent.runtime.interface import RuntimeUnavailable
from headrace.common.contracts.ids import SessionId, new_uuid

POLICY = NetworkPolicy(None, IPv4Network("10.213.0.0/16"), 27, "off", local_engine=False)


class Bridges:
    """An engine with one bridge, of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.fails = False

    async def call(self, *_: object, **__: object) -> Any:
        if self.fails:
            raise RuntimeUnavailable("it did not answer")
        return [{"Id": "0" * 64, "Options": {"com.docker.network.bridge.name": self.name}}] if self.name else []


class Engine:
    """Holds networks by session, and fails once where told so."""

    def __init__(self, *sessions: SessionId) -> None:
        self.networks = {str(session): session for session in sessions}
        self.containers_of: list[SessionId] = []
        self.fails: dict[str, Exception] = {}
        self.calls: list[str] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def call(self, method: str, path: str, **_: object) -> Any:
        self.calls.append(method)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        if method in self.fails:
            raise self.fails.pop(method)
        if method == "DELETE":
            return self.networks.pop(path.removeprefix("/networks/"))
        if path == "/containers/json":
            return [{"Labels": {"headrace.session": str(session)}} for session in self.containers_of]
        return [{"Id": i, "Name": i, "Labels": {"headrace.session": str(s)}} for i, s in self.networks.items()]


def over(engine: Engine) -> SessionNetworks:
    return SessionNetworks(engine, "a", "/data", POLICY, Firewall("/data", ()))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("error", [RuntimeUnavailable("it did not answer"), EngineError(500, "no")])
async def test_a_sweep_that_fails_costs_no_pass_and_is_made_up_for(method: str, error: Exception) -> None:
    used, unused = SessionId(new_uuid()), SessionId(new_uuid())
    engine = Engine(used, unused)
    networks = over(engine)
    engine.fails[method] = error
    await networks.sweep({used}, networks.requested)
    assert len(engine.networks) == 2
    await networks.sweep({used}, networks.requested)
    assert list(engine.networks) == [str(used)]
    asked = len(engine.calls)
    await networks.sweep({used}, networks.requested)
    assert len(engine.calls) == asked  # nothing is left to look for


async def test_what_comes_up_during_a_sweep_is_looked_for_in_the_next_and_no_two_sweep_at_once() -> None:
    engine = Engine(SessionId(new_uuid()))
    networks = over(engine)

    async def meanwhile() -> None:
        networks.sweep_soon()
        await networks.sweep(set(), networks.requested)

    engine.meanwhile = meanwhile
    await networks.sweep(set(), networks.requested)
    assert engine.calls == ["GET", "DELETE"]
    await networks.sweep(set(), networks.requested)
    assert engine.calls == ["GET", "DELETE", "GET"]


async def test_a_sweep_by_an_old_look_does_not_serve_what_ended_after_it() -> None:
    session = SessionId(new_uuid())
    engine = Engine(session)
    networks = over(engine)
    before = networks.requested
    networks.sweep_soon()  # its last container went while another task was listing the containers
    await networks.sweep({session}, before)
    assert list(engine.networks) == [str(session)]
    await networks.sweep(set(), networks.requested)
    assert engine.networks == {}


@pytest.mark.parametrize(
    ("bridge", "local", "said"),
    [
        ("lo", True, None),  # an interface that is in every namespace
        ("", True, None),
        ("no-such-bridge", True, "the engine's bridges are not in the agent's network namespace; run the agent in"),
        ("lo", False, "the engine is not on the agent's machine"),
    ],
)
async def test_whether_ports_are_published_where_the_agent_is(bridge: str, *, local: bool, said: str | None) -> None:
    engine, policy = Bridges(bridge), replace(POLICY, local_engine=local)
    networks = SessionNetworks(engine, "a", "/data", policy, Firewall("/data", ()))  # type: ignore[arg-type]
    found = await networks.elsewhere()
    assert str(found).startswith(str(said))
    engine.fails = True
    assert await networks.elsewhere() == found


async def test_until_the_engine_answers_nobody_knows_where_its_ports_are() -> None:
    engine = Bridges("lo")
    engine.fails = True
    policy = replace(POLICY, local_engine=True)
    networks = SessionNetworks(engine, "a", "/data", policy, Firewall("/data", ()))  # type: ignore[arg-type]
    assert "not known yet" in str(await networks.elsewhere())


async def test_an_agent_that_stops_before_its_next_sweep_leaves_only_networks_that_have_containers() -> None:
    used, unused = SessionId(new_uuid()), SessionId(new_uuid())
    engine = Engine(used, unused)
    engine.containers_of = [used]
    networks = over(engine)
    await networks.close()
    assert list(engine.networks) == [str(used)]
