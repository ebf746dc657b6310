"""Names in `replica_ports_from`: the addresses that they stand for, also while they cannot be resolved."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final

import structlog
from pydantic import Field, IPvAnyNetwork, TypeAdapter, ValidationError

from headrace.agent.domain.port_filter import Network
from headrace.agent.metrics import DISK_WRITES_FAILED
from headrace.common.runtime.files import write_atomically

log = structlog.get_logger()
NAME: Final = "replica_ports.json"
"""File in the agent's data folder: name → the addresses that it stood for last."""
MAX_OF_NAME: Final = 64
"""Addresses that one name stands for; further ones are left out."""
_MAX_BYTES: Final = 2**20
_RESOLVE_S: Final = 5.0
_Addresses = Annotated[tuple[IPvAnyNetwork, ...], Field(max_length=MAX_OF_NAME)]
_FILE: Final = TypeAdapter(dict[str, _Addresses])


Resolve = Callable[[str], Awaitable[tuple[Network, ...] | str]]
"""What a name stands for, or why that is not known."""


class SourceNames:
    """Resolves names. One that is not resolved stands for its last addresses, also over a restart of the agent.

    Without that an agent which starts while the name server is away would close the ports to the app-proxies.
    """

    def __init__(self, names: Sequence[str], path: Path, *, resolve: Resolve | None = None) -> None:
        self._names = tuple(names)
        self._resolve = resolve or addresses_of
        self._path = path
        self._known: dict[str, tuple[Network, ...]] | None = None
        self.unresolved: dict[str, str] = {}
        """Name → why it is not resolved."""

    async def addresses(self) -> list[Network]:
        """Return the addresses of all names, as of now or as they were last."""
        if self._known is None:
            self._known = await asyncio.to_thread(_read, self._path) if self._names else {}
        before = {name: self._known[name] for name in self._names if name in self._known}
        now = dict(before)
        for name, found in zip(self._names, await asyncio.gather(*map(self._resolve, self._names)), strict=True):
            if isinstance(found, str):
                if name not in self.unresolved:
                    log.warning("replica_ports_source_unresolved", name=name, why=found)
                self.unresolved[name] = found
            else:
                self.unresolved.pop(name, None)
                now[name] = found
        if now != self._known:
            self._known = now
            await asyncio.to_thread(_write, self._path, now)
        return [address for addresses in now.values() for address in addresses]


async def addresses_of(name: str) -> tuple[Network, ...] | str:
    """Return the addresses that a name stands for, or why it cannot be resolved."""
    try:
        async with asyncio.timeout(_RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        return f"no answer within {_RESOLVE_S:g} s"
    except OSError as error:
        return error.strerror or str(error)
    addresses = {str(entry[4][0]).partition("%")[0] for entry in found}  # of a link-local one: without its interface
    return tuple(ip_network(address) for address in sorted(addresses)[:MAX_OF_NAME])


def _read(path: Path) -> dict[str, tuple[Network, ...]]:
    try:
        with path.open("rb") as file:
            return dict(_FILE.validate_json(file.read(_MAX_BYTES)))
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        log.warning("replica_ports_names_unreadable", file=str(path), error=str(error)[:500])
        return {}


def _write(path: Path, known: dict[str, tuple[Network, ...]]) -> None:
    try:
        write_atomically(path, _FILE.dump_json(known), durable=False)
    except OSError as error:
        DISK_WRITES_FAILED.inc()
        log.warning("replica_ports_names_not_saved", file=str(path), error=error.strerror)
