"""Listening sockets of a container, through the network namespace of its first process. Blocks."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from headrace.agent.runtime.listening import Listener, listeners

_RESOLVER = ip_address("127.0.0.11")
"""Address of Docker's own name server in containers of user-defined networks."""


def listeners_in(container_id: str, pid: int) -> list[Listener]:
    """Return the listening sockets of the container whose first process is `pid`.

    Empty where the agent cannot see that process: the engine is on another machine, or the agent itself in a container.
    """
    proc = Path(f"/proc/{pid}")
    try:
        if container_id not in (proc / "cgroup").read_text(encoding="utf-8"):
            return []
        tables = [(proc / "net" / name).read_text(encoding="ascii") for name in ("tcp", "tcp6")]
    except OSError:
        return []
    return [one for table in tables for one in listeners(table) if ip_address(one.host) != _RESOLVER]
