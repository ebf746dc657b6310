"""Preflight checks of settings, ports, files and descriptors.

They run before anything is started, so that an error is reported once, and not by workers that exit again and again.

No check connects to anything: the bus, Redis and the collector may be unreachable at the start. No text contains a part
of an address, since those of Redis and the bus may hold passwords.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from headrace.appproxy.control.socket_activation import OWN, SHARED, InheritedSockets
from headrace.appproxy.control.tables_on_disk import FOLDER
from headrace.appproxy.file_limit import MIN, descriptor_limit
from headrace.appproxy.settings import Settings
from headrace.common.runtime.redis_urls import ALLOWED as REDIS_ALLOWED

_PREFIX: Final = Settings.model_config["env_prefix"]
_ANY: Final = frozenset({"", "0.0.0.0", "::"})


def preflight_errors(settings: Settings, inherited: InheritedSockets | None = None) -> list[str]:
    """Return the errors that keep an app-proxy with these settings from starting, each naming its setting; empty if
    none.

    Call it before any thread is started. Creates the data folder if it is missing. `kept`: inherited listening sockets.
    """
    inherited = inherited or InheritedSockets()
    found = [
        *_inherited_sockets(settings, inherited),
        *_ports(settings, inherited),
        *_data_dir(settings),
        *_descriptors(),
    ]
    if settings.workers:
        return found + (_in_child_process(lambda: _library_errors(settings)) if _needs_libraries(settings) else [])
    return found + _library_errors(settings)


def _is_address(url: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


# --- ports


def _inherited_sockets(settings: Settings, inherited: InheritedSockets) -> Iterator[str]:
    """Return the errors of inherited sockets: a socket unit's sockets must be on the shared port.

    Sockets that an earlier app-proxy stored with the service manager have names of their own.
    """
    others = [one for one in inherited.unclaimed if not one.name.startswith((f"{SHARED}.", f"{OWN}."))]
    for one in others:
        if one.port != settings.listen_port:
            yield f"LISTEN_FDS: {one.name} listens on port {one.port}; {_PREFIX}LISTEN_PORT is {settings.listen_port}"
    if len(others) > (most := max(settings.workers, 1)):
        yield f"LISTEN_FDS: {len(others)} sockets on one port; allowed: as many as {_PREFIX}WORKERS, {most}"


def _ports(settings: Settings, inherited: InheritedSockets) -> Iterator[str]:
    there = {one.port for one in inherited.unclaimed}
    shared, admin = (settings.listen_host, settings.listen_port), (settings.admin_host, settings.admin_port)
    for name, (host, port), wanted in (
        ("LISTEN_PORT", shared, socket.AF_INET6 if ":" in settings.listen_host else socket.AF_INET),
        ("ADMIN_PORT", admin, socket.AF_UNSPEC),
    ):
        if name == "LISTEN_PORT" and port in there:
            continue
        try:
            _try_bind(host, port, wanted, together=name == "LISTEN_PORT" and settings.workers > 1)
        except OSError as error:
            yield f"{_PREFIX}{name}: {port} on {host}: {error.strerror}"
    if admin[1] == shared[1] != 0 and (admin[0] == shared[0] or _ANY & {admin[0], shared[0]}):
        yield f"{_PREFIX}ADMIN_PORT: {admin[1]} is LISTEN_PORT too"


def _try_bind(host: str, port: int, wanted: socket.AddressFamily, *, together: bool) -> None:
    """Bind an address for a moment, as the later listener will. Raises OSError.

    `together`: several sockets of this app-proxy may bind it.
    """
    found = socket.getaddrinfo(host or None, port, wanted, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in set(found):
        with socket.socket(family, kind, protocol) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if together:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)


# --- files


def _descriptors() -> Iterator[str]:
    if (found := descriptor_limit()) < MIN:
        yield f"open files (ulimit -n, LimitNOFILE): {found}; allowed: {MIN} and more"


def _data_dir(settings: Settings) -> Iterator[str]:
    try:
        (settings.data_dir / FOLDER).mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        yield f"{_PREFIX}DATA_DIR: {error.filename}: {error.strerror}"


# --- checks that need the libraries


def _needs_libraries(settings: Settings) -> bool:
    return bool(settings.redis_url.get_secret_value() or settings.otel_endpoint)


def _library_errors(settings: Settings) -> list[str]:
    redis_url = settings.redis_url.get_secret_value()
    return [*_redis(redis_url, settings.ca_file), *_spans(settings.otel_endpoint)]


def _redis(url: str, ca_file: Path | None) -> Iterator[str]:
    if not url:
        return
    from redis.asyncio import SSLConnection  # noqa: PLC0415 - most have no Redis
    from redis.exceptions import RedisError  # noqa: PLC0415

    from headrace.common.runtime.redis_client import redis_pool  # noqa: PLC0415

    try:
        connection = redis_pool(url, ca_file, timeout_s=1, retries=0, connections=1).make_connection()  # type: ignore[no-untyped-call]
        if isinstance(connection, SSLConnection):
            connection.ssl_context.get()
    except (ValueError, TypeError, RedisError):
        yield f"{_PREFIX}REDIS_URL: not an address, or an option that does not exist; allowed: {REDIS_ALLOWED}"
    except OSError as error:
        yield f"{_PREFIX}REDIS_URL: its TLS files cannot be used: {error.strerror or error}"


def _spans(endpoint: str) -> Iterator[str]:
    if not endpoint:
        return
    if not _is_address(endpoint, "http", "https"):
        yield f"{_PREFIX}OTEL_ENDPOINT: not an address as http://host:4318/v1/traces"
    try:
        import headrace.appproxy.dataplane.telemetry.otel  # noqa: F401, PLC0415 - an extra, and slow to load
    except ModuleNotFoundError as missing:
        yield f"{_PREFIX}OTEL_ENDPOINT: {missing}"


def _in_child_process(judge: Callable[[], list[str]]) -> list[str]:
    """Return what `judge` finds when run in a child process, so that this one does not keep the 20 MB that it loads."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        with ExitStack() as always:
            always.callback(os._exit, 1)
            os.write(theirs, json.dumps(judge()).encode())
    os.close(theirs)
    with os.fdopen(ours, "rb") as said:
        found: list[str] = json.loads(said.read() or b'["what REDIS_URL and OTEL_ENDPOINT need cannot be loaded"]')
    os.waitpid(pid, 0)
    return found
