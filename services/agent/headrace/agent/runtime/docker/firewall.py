"""Packet filter of the containers: installed and kept in place with iptables, where the agent may."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

import structlog

from headrace.agent.domain.networks import PacketFilter, resolvers_in
from headrace.common.contracts.reasons import MAX_QUOTED

log = structlog.get_logger()
_IPTABLES = ("iptables", "iptables-nft")
_LEGACY = "iptables-legacy"
_LEGACY_TABLES = Path("/proc/net/ip_tables_names")
_IPV6 = Path("/proc/sys/net/ipv6")
"""Missing on a machine whose kernel has IPv6 disabled."""
_RESOLV_CONF = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
_CALL_S = 20.0
_WAIT = ("-w", "10")
"""Option to wait for the lock that all users of iptables share."""
_AGAIN_S = 60.0
"""Interval of verification: whoever reloads the machine's firewall flushes the rules."""


class Firewall:
    """Installs the rules, verifies them periodically, and says why they are not in force."""

    def __init__(self, owner: str, allowed: tuple[IPv4Network, ...]) -> None:
        self._owner = owner
        self._allowed = allowed
        self._lock = asyncio.Lock()
        self._looked_at: float | None = None
        self.problem: str | None = "not looked yet"
        """Reason why the rules are not in force; None when they are."""

    async def ensure(self, *, now: bool = False) -> str | None:
        """Return None when the rules are in force, else why not. Verifies once a minute, or at once with `now`."""
        async with self._lock:
            if now or self._looked_at is None or time.monotonic() - self._looked_at > _AGAIN_S:
                before, self.problem = self.problem, await self._apply()
                self._looked_at = time.monotonic()
                if self.problem != before:
                    log.info("container_firewall_changed", in_force=self.problem is None, why=self.problem)
            return self.problem

    async def remove(self) -> None:
        """Remove the rules, once no container needs them; also those of another iptables backend than the present one."""
        rules = self._filter()
        for tool in _kinds():
            for chain, rule in rules.jumps():
                await _run(tool, *_WAIT, "-D", chain, *rule)
            for command in ("-F", "-X"):
                for chain in rules.chains:
                    await _run(tool, *_WAIT, command, chain)
            for chain, rule in rules.ipv6_drops():
                await _run(_for_ipv6(tool), *_WAIT, "-D", chain, *rule)
        self._looked_at = None

    def _filter(self) -> PacketFilter:
        return PacketFilter(self._owner, self._allowed, resolvers_in([_text(path) for path in _RESOLV_CONF]))

    async def _apply(self) -> str | None:
        rules = self._filter()
        tool, problem = await self._beside_docker()
        if problem is not None:
            return (
                "the agent cannot set packet filter rules beside Docker's, for which the chain FORWARD has to lead to "
                f"DOCKER-USER: {problem}"
            )
        problem = await _run(f"{tool}-restore", *_WAIT, "--noflush", text=rules.restore())
        for chain, rule in rules.jumps():
            problem = problem or await _put(tool, chain, rule)
        if await asyncio.to_thread(_IPV6.exists):
            for chain, rule in rules.ipv6_drops():
                problem = problem or await _put(_for_ipv6(tool), chain, rule)
        return None if problem is None else f"the packet filter refused the rules: {problem}"

    async def _beside_docker(self) -> tuple[str, str | None]:
        """Return the iptables command in whose tables Docker has its own rules, or why there is none.

        Linux has two packet filters side by side (nf_tables and the legacy tables), with a command for each. Rules in
        the chain DOCKER-USER are in force only if that filter's FORWARD chain jumps there, which it does not after a
        flush either.
        """
        problems = []
        for tool in _kinds():
            problem = await _run(tool, *_WAIT, "-C", "FORWARD", "-j", "DOCKER-USER")
            if problem is None:
                return tool, None
            problems.append(f"{tool}: {problem}")
        return "", "; ".join(problems)


def _kinds() -> tuple[str, ...]:
    """Return the iptables commands to try, the machine's default first.

    Listing legacy tables creates them: they are tried only where they are in use.
    """
    return (*_IPTABLES, *([_LEGACY] if "filter" in _text(_LEGACY_TABLES).split() else []))


def _for_ipv6(tool: str) -> str:
    return tool.replace("iptables", "ip6tables")


async def _put(tool: str, chain: str, rule: tuple[str, ...]) -> str | None:
    """Insert the rule at the top of the chain if it is missing. Return None on success, else why not."""
    if await _run(tool, *_WAIT, "-C", chain, *rule) is None:
        return None
    return await _run(tool, *_WAIT, "-I", chain, "1", *rule)


async def _run(*command: str, text: str = "") -> str | None:
    """Return None when the command succeeded, else its error."""
    return await asyncio.to_thread(_run_now, command, text)


def _run_now(command: tuple[str, ...], text: str) -> str | None:
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=_CALL_S, check=False)
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end within {_CALL_S:g} s"
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    words = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if not line.startswith("#")]
    return None if done.returncode == 0 else (" ".join(words)[:MAX_QUOTED] or f"{command[0]} failed")


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")[:65536]
    return ""
