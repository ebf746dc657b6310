"""Packet filter of replica ports: set with nft, and kept in force."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from headrace.agent.domain.port_filter import PortFilter, network
from headrace.agent.domain.ports import PortRange
from headrace.agent.source_names import SourceNames
from headrace.common.contracts.reasons import MAX_QUOTED
from headrace.common.runtime.loop import Loop

log = structlog.get_logger()
EVERY: Final = timedelta(seconds=10)
"""Longest time for which rules that somebody flushed are missing, and after which a name is resolved anew."""
_CALL_S: Final = 10.0


class ReplicaPorts:
    """Closes replica ports to all but `sources`: networks, addresses, and the addresses that names stand for.

    A name that cannot be resolved stands for the addresses that it had last, which are kept in the file `known`. `elsewhere` says
    why the ports are not of the network namespace in which the rules would be set. When the task ends the rules stay while
    anything runs on the machine.
    """

    name = "replica-ports"

    def __init__(
        self,
        table: str,
        ports: PortRange,
        sources: Sequence[str],
        *,
        known: Path,
        in_use: Callable[[], bool],
        elsewhere: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._table = table
        self._ports = ports
        self._given = [one for one in map(network, sources) if one is not None]
        self._names = SourceNames([source for source in sources if network(source) is None], known)
        self._in_use = in_use
        self._elsewhere = elsewhere
        self._loop = Loop("replica-ports", self.one_pass, every=EVERY)
        self._lock = asyncio.Lock()
        self._script: str | None = None
        """What was set last."""
        self._seen: str | None = None
        """What nft listed after that; None: they are not set, or were flushed again at once."""
        self.problem: str | None = "not set yet"
        """Why the rules are not in force; None when they are."""

    def stop(self) -> None:
        """Make run() return."""
        self._loop.stop()

    async def run(self) -> None:
        """Keep the rules in force until stop()."""
        await self._loop.run()
        if not self._in_use():
            await remove(self._table)

    def check(self) -> str | None:
        """Readiness check: None, or what is wrong: the rules are not in force, or a name cannot be resolved."""
        if self.problem is not None:
            return self.problem
        return (
            "; ".join(f"{name} cannot be resolved: {why}" for name, why in self._names.unresolved.items())[:1000]
            or None
        )

    async def ensure(self) -> str | None:
        """Return None when the rules are in force, else why not. Sets them if that was not tried yet."""
        if self._script is None:
            await self.one_pass()
        return self.problem

    async def one_pass(self) -> None:
        """Set the rules, unless they are as they were set last."""
        async with self._lock:
            script = PortFilter(self._table, self._ports, [*self._given, *await self._names.addresses()]).script()
            if script == self._script and self._seen is not None and await self._listed() == self._seen:
                return
            before, problem = self.problem, await self._elsewhere() or await _nft("-f", "-", text=script)
            again = self._script == script and before is None
            self._script = script
            self.problem = None if problem is None else f"replica ports are open to all: {problem}"
            self._seen = await self._listed() if problem is None else None
            if again:
                log.warning("replica_ports_reclosed", table=self._table)
            elif self.problem != before or problem is None:
                log.info("replica_ports_changed", table=self._table, closed=problem is None, why=problem)

    async def _listed(self) -> str | None:
        return await asyncio.to_thread(_list_now, self._table)


async def remove(table: str) -> None:
    """Remove the rules, if there are any and the agent may."""
    await _nft("delete", "table", "inet", table)


async def _nft(*words: str, text: str = "") -> str | None:
    """Return None when nft did it, else why not."""
    return await asyncio.to_thread(_nft_now, words, text)


def _nft_now(words: Sequence[str], text: str) -> str | None:
    try:
        done = subprocess.run(("nft", *words), input=text.encode(), capture_output=True, timeout=_CALL_S, check=False)
    except subprocess.TimeoutExpired:
        return f"nft did not end within {_CALL_S:g} s"
    except OSError as error:
        return f"nft: {error.strerror}; install nftables"
    said = " ".join(done.stderr.decode("utf-8", "replace").split())
    if "Operation not permitted" in said:
        return f"the agent lacks CAP_NET_ADMIN: {said[:MAX_QUOTED]}"
    return None if done.returncode == 0 else (said[:MAX_QUOTED] or f"nft ended with exit code {done.returncode}")


def _list_now(table: str) -> str | None:
    with suppress(OSError, subprocess.TimeoutExpired):
        words = ("nft", "-j", "list", "table", "inet", table)
        done = subprocess.run(words, capture_output=True, timeout=_CALL_S, check=False)
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
    return None
