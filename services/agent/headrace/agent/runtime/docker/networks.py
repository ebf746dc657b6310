"""Bridge network per session: its kernels reach each other, and no other session reaches them."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import structlog

from headrace.agent.domain.networks import bridge_name, free_subnets, routed_in
from headrace.agent.runtime.docker.container import LABEL
from headrace.agent.runtime.docker.engine import Engine, EngineError, filters
from headrace.agent.runtime.docker.firewall import Firewall
from headrace.agent.runtime.interface import RuntimeUnavailable, StartRefused
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.reports import Isolation
from headrace.common.contracts.reasons.kernel import KernelReason

log = structlog.get_logger()
_ELSEWHERE = "the engine's bridges are not in the agent's network namespace"
_BRIDGE = "com.docker.network.bridge.name"
_TRIES = 16
"""Bound on subnets tried for one network: another client of the engine may take one between choice and creation."""


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Network settings of containers."""

    shared: str | None
    """One network for all containers instead of one for each session."""
    pool: IPv4Network
    prefix: int
    firewall: Literal["required", "preferred", "off"]
    local_engine: bool
    """Whether the engine runs on the agent's own machine, whose packet filter the agent can set."""


class SessionNetworks:
    """Creates the network of a session before its first container, and removes it after the last."""

    def __init__(self, engine: Engine, agent_id: str, owner: str, policy: NetworkPolicy, firewall: Firewall) -> None:
        self._engine = engine
        self._agent_id = agent_id
        self._owner = owner
        self._policy = policy
        self._firewall = firewall
        self._lock = asyncio.Lock()
        self._starting: Counter[SessionId] = Counter()
        self._last: IPv4Network | None = None
        self.requested = 1
        """Number of the newest request for a sweep."""
        self._swept = 0
        """Number of the newest request that was served."""
        self._rules_removed = False
        self._elsewhere: str | None = (
            "it is not known yet whether the engine's bridges are in the agent's network namespace"
        )

    async def elsewhere(self) -> str | None:
        """Return why the engine publishes ports in another network namespace than the agent's; None when it does not.

        Its bridges tell; an engine that has none publishes nothing yet. While it does not answer, what was known before holds.
        """
        if not self._policy.local_engine:
            return "the engine is not on the agent's machine"
        with suppress(EngineError, RuntimeUnavailable):
            networks = await self._engine.call("GET", "/networks", query={"filters": filters(driver=["bridge"])})
            bridges = {(one.get("Options") or {}).get(_BRIDGE) or f"br-{one['Id'][:12]}" for one in networks}
            away = bridges and not await asyncio.to_thread(_has_any, bridges)
            self._elsewhere = f"{_ELSEWHERE}; run the agent in the machine's own (--network host)" if away else None
        return self._elsewhere

    async def isolation(self) -> Isolation:
        """Return the isolation now in force between containers."""
        if self._policy.shared is not None:
            text = (
                f"all containers share the network {self._policy.shared}: they reach each other and whatever it reaches"
            )
            return Isolation(level="none", text=text)
        problem = await self._filtered()
        if problem is None:
            text = (
                "each session has a network of its own; containers reach neither the machine nor private or link-local "
                "addresses, except those that are allowed"
            )
            return Isolation(level="firewall", text=text)
        text = (
            "each session has a network of its own, but containers reach the machine's services, the ports that others "
            f"publish on it, private and link-local addresses: {problem}"
        )
        return Isolation(level="networks", text=text)

    @asynccontextmanager
    async def of(self, session_id: SessionId) -> AsyncIterator[str]:
        """Yield the network for a container of the session; it is not removed meanwhile. Raises StartRefused."""
        if self._policy.shared is not None:
            yield self._policy.shared
            return
        self._starting[session_id] += 1
        try:
            async with self._lock:
                name = await self._ensure(session_id)
            yield name
        finally:
            self._starting[session_id] -= 1
            if not self._starting[session_id]:
                del self._starting[session_id]

    def sweep_soon(self) -> None:
        """Request a sweep(): a session may have ended."""
        self.requested += 1

    async def sweep(self, used: Collection[SessionId], as_of: int) -> None:
        """Remove this agent's networks of sessions that are neither in `used` nor starting, if one was requested.

        `as_of` is what `requested` was before `used` was looked up: it cannot show what ended later, and serves no later
        request. A network that cannot be removed, or not while another one is being created, waits for the next sweep and
        fails no pass.
        """
        if self._swept >= self.requested or self._policy.shared is not None or self._lock.locked():
            return
        try:
            async with self._lock:
                left = await self._remove_all_but(used)
        except (EngineError, RuntimeUnavailable) as error:
            log.warning("networks_not_removed", why=str(error))
            return
        if not left:
            self._swept = max(self._swept, as_of)

    async def _remove_all_but(self, used: Collection[SessionId | str]) -> bool:
        """Remove networks of other sessions; return whether one is left."""
        left = False
        for network in await self._own_networks():
            session = str(network["Labels"].get(f"{LABEL}session"))
            if session in {str(one) for one in (*used, *self._starting)}:
                continue
            try:
                await self._engine.call("DELETE", f"/networks/{network['Id']}")
            except EngineError as error:
                if error.status != 404:  # a container of it is on its way out
                    left = True
                    log.info("network_not_removed", network=network["Name"], why=str(error))
        return left

    async def _own_networks(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = await self._engine.call("GET", "/networks", query=self._own())
        return found

    def _own(self) -> dict[str, str]:
        return {"filters": filters(label=[f"{LABEL}agent={self._agent_id}", f"{LABEL}data={self._owner}"])}

    async def close(self) -> None:
        """Run a last sweep, and remove the packet filter if no network is left that needs it."""
        with suppress(EngineError, RuntimeUnavailable):
            if self._swept < self.requested and self._policy.shared is None:
                query = {"all": "true", **self._own()}
                containers = await self._engine.call("GET", "/containers/json", query=query)
                await self._remove_all_but({str(one["Labels"].get(f"{LABEL}session")) for one in containers})
            if self._firewall.problem is None and not await self._own_networks():
                await self._firewall.remove()

    async def _filtered(self, *, now: bool = False) -> str | None:
        if not self._policy.local_engine:
            return "the engine is not on the agent's machine"
        if self._policy.firewall == "off":
            if not self._rules_removed:  # those of an agent that was set otherwise
                self._rules_removed = True
                await self._firewall.remove()
            return "the setting docker_firewall is off"
        return await self._firewall.ensure(now=now)

    async def _ensure(self, session_id: SessionId) -> str:
        problem = await self._filtered(now=True)
        if problem is not None and self._policy.firewall == "required":
            raise StartRefused(
                KernelReason.ISOLATION_UNAVAILABLE,
                f"containers cannot be kept from the machine and from other tenants: {problem}; give the agent the right "
                "(CAP_NET_ADMIN and iptables), or set docker_firewall to preferred, which goes without",
            )
        name = f"headrace-{self._agent_id}-{session_id}"
        networks = await self._engine.call("GET", "/networks")
        if any(network["Name"] == name for network in networks):
            return name
        taken = {*_subnets(networks), *self._routes()}
        words = f"all of {self._policy.pool} is in use"
        for subnet in islice(free_subnets(self._policy.pool, self._policy.prefix, taken, self._last), _TRIES):
            self._last = subnet
            try:
                await self._engine.call("POST", "/networks/create", body=self._request(name, session_id, subnet))
            except EngineError as error:
                words = str(error)
                continue
            await self._check_bridge(name, session_id)
            return name
        raise StartRefused(KernelReason.NETWORK_UNAVAILABLE, f"no network could be made for its session: {words}")

    async def _check_bridge(self, name: str, session_id: SessionId) -> None:
        """Raise StartRefused when the bridge is in another network namespace than the agent's: the rules match only there."""
        bridge = bridge_name(self._owner, session_id)
        if self._policy.firewall == "required" and not await asyncio.to_thread(_has_any, {bridge}):
            with suppress(EngineError):
                await self._engine.call("DELETE", f"/networks/{name}")
            raise StartRefused(
                KernelReason.ISOLATION_UNAVAILABLE,
                f"{_ELSEWHERE}, so that its packet filter does not hold; run the agent in the machine's own, "
                "or set docker_firewall to preferred",
            )

    def _routes(self) -> tuple[IPv4Network, ...]:
        if not self._policy.local_engine:
            return ()
        with suppress(OSError):
            return routed_in(Path("/proc/net/route").read_text(encoding="ascii"))
        return ()

    def _request(self, name: str, session_id: SessionId, subnet: IPv4Network) -> dict[str, Any]:
        return {
            "Name": name,
            "CheckDuplicate": True,
            "Driver": "bridge",
            "EnableIPv6": False,
            "IPAM": {"Driver": "default", "Config": [{"Subnet": str(subnet)}]},
            "Options": {_BRIDGE: bridge_name(self._owner, session_id)},
            "Labels": {
                LABEL + "agent": self._agent_id,
                LABEL + "data": self._owner,
                LABEL + "session": str(session_id),
            },
        }


def _has_any(bridges: Collection[str]) -> bool:
    """Whether one of these interfaces is in the network namespace of this process."""
    return any(name in bridges for _, name in socket.if_nameindex())


def _subnets(networks: Collection[Mapping[str, Any]]) -> set[IPv4Network]:
    found = set()
    for network in networks:
        for config in (network.get("IPAM") or {}).get("Config") or ():
            with suppress(ValueError):  # IPv6, or none
                found.add(IPv4Network(config.get("Subnet") or "", strict=False))
    return found
