"""The embedded Valkey server (speaks the Redis protocol): append-only file, one password."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from headrace.common.runtime.files import write_atomically
from headrace.embedded.binaries import valkey_server
from headrace.embedded.ports import HOST
from headrace.embedded.private import private_folder
from headrace.embedded.process import Command
from headrace.embedded.process_supervisor import Program

MAX_MEMORY = "256mb"
"""Metric windows are bounded and expire; beyond this a write is refused, so that the machine's memory is not filled."""


def valkey_config(*, data: Path, port: int, password: str) -> str:
    """Return the server's configuration. It holds the password: store it privately."""
    folder = str(data).replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(
        (
            f"bind {HOST}",
            f"port {port}",
            f"requirepass {password}",
            f'dir "{folder}"',
            "daemonize no",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            f"maxmemory {MAX_MEMORY}",
            "maxmemory-policy noeviction",
            "",
        )
    )


def valkey_program(*, data: Path, port: int, password: str) -> Program:
    """Return the server as a Program, with its configuration written into `data`. Raises ServerMissingError."""
    private_folder(data)
    config = data / "valkey.conf"
    write_atomically(config, valkey_config(data=data, port=port, password=password))
    return Program(
        name="valkey",
        # Acknowledged writes are in the file; only a crash of the machine can lose the last second.
        command=Command((str(valkey_server()), str(config)), {"LC_ALL": "C"}, on_parent_death=signal.SIGKILL),
        ready=lambda: _ready(port, password),
        stop_steps=((signal.SIGTERM, 5.0),),
    )


async def _ready(port: int, password: str) -> bool:
    """Return True if our server answers, with its data loaded."""
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"AUTH {password}\r\nPING\r\n".encode())
                return await reader.readline() == b"+OK\r\n" and await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    except (OSError, ValueError):
        return False
