"""The embedded NATS server with JetStream, and the configuration of its users."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from headrace.common.bus.permissions import EDGE_ACCOUNT, STORE_ACCOUNT, Account, BusUser, UserKind, permissions
from headrace.common.runtime.files import write_atomically
from headrace.embedded.binaries import nats_server
from headrace.embedded.fulldisk import FullDisk
from headrace.embedded.ports import HOST
from headrace.embedded.private import private_folder
from headrace.embedded.process import Command
from headrace.embedded.process_supervisor import Program

SERVER_NAME = "headrace-embedded"


def password_variable(user: str) -> str:
    """Return the environment variable that carries the password of `user`."""
    return "HEADRACE_NATS_PASSWORD_" + re.sub(r"[^A-Z0-9]", "_", user.upper())


def nats_config(*, host: str, port: int, store_dir: str, users: Collection[BusUser], name: str = SERVER_NAME) -> str:
    """Return the server's configuration. Passwords come from password_variable(user), so the text holds no secret.

    A password must begin with a letter: NATS parses the variable's value like this file.
    """
    return "\n".join(
        (
            f"host: {_quoted(host)}",
            f"port: {port}",
            f"server_name: {_quoted(name)}",
            "max_payload: 8MB",  # a machine's whole plan is one message
            "jetstream {",
            f"  store_dir: {_quoted(store_dir)}",
            "  sync_interval: 2s",  # a power cut may lose newer messages; managers detect that and publish them again
            "}",
            "accounts {",
            *_account(
                "HEADRACE",
                [user for user in users if user.kind is UserKind.MANAGER],
                STORE_ACCOUNT,
                "jetstream: enabled",
            ),
            *_account("EDGE", [user for user in users if user.kind is not UserKind.MANAGER], EDGE_ACCOUNT),
            "}",
            "",
        )
    )


def nats_program(*, data: Path, log: Path, port: int, passwords: Mapping[BusUser, str]) -> Program:
    """Return the server as a Program, with its configuration written into `data`; it logs to `log`. Raises
    ServerMissingError.

    A stream that failed to write once because the disk was full refuses all writes until the server is restarted: so it
    is.
    """
    private_folder(data)
    config = data / "nats.conf"
    write_atomically(
        config, nats_config(host=HOST, port=port, store_dir=str(data / "jetstream"), users=list(passwords))
    )
    return Program(
        name="nats",
        # Written data survives the process, so that killing it loses nothing.
        command=Command(
            (str(nats_server()), "-c", str(config)),
            {password_variable(user.name): password for user, password in passwords.items()},
            on_parent_death=signal.SIGKILL,
        ),
        ready=lambda: _ready(port),
        restart_reason=FullDisk(data, log).recovered,
        stop_steps=((signal.SIGTERM, 5.0),),
    )


def _account(name: str, users: Iterable[BusUser], account: Account, *more: str) -> Iterator[str]:
    yield f"  {name} {{"
    yield from (f"    {line}" for line in more)
    yield "    users = ["
    yield from (f"      {_user(user)}" for user in users)
    yield "    ]"
    yield "    exports = ["
    for export in account.exports:
        answers = ", response_type: stream" if export.kind == "service" and export.many else ""
        yield f"      {{ {export.kind}: {_quoted(export.subject)}{answers} }}"
    yield "    ]"
    yield "    imports = ["
    yield from (
        f"      {{ {export.kind}: {{ account: {account.other}, subject: {_quoted(export.subject)} }} }}"
        for export in account.imports
    )
    yield "    ]"
    yield "  }"


def _user(user: BusUser) -> str:
    allowed = permissions(user)
    parts = [f"publish: {{ allow: {_list(allowed.publish)} }}", f"subscribe: {{ allow: {_list(allowed.subscribe)} }}"]
    if allowed.allow_responses:
        parts.append("allow_responses: true")
    secret = f"${password_variable(user.name)}"
    return f"{{ user: {_quoted(user.name)}, password: {secret}, permissions: {{ {', '.join(parts)} }} }}"


def _list(subjects: Iterable[str]) -> str:
    return "[" + ", ".join(_quoted(subject) for subject in subjects) + "]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # NATS' strings have the same escapes


async def _ready(port: int) -> bool:
    """Return True if our server answers there: NATS speaks first, with one line of JSON, once JetStream is up."""
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError):
        return False
    return line.startswith(b"INFO ") and SERVER_NAME.encode() in line and b'"jetstream":true' in line
