"""Listening sockets that come with the start: who they are meant for, and on which port they are."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from headrace.appproxy.control.listeners import Listeners
from headrace.appproxy.control.preflight import preflight_errors
from headrace.appproxy.control.socket_activation import InheritedSocket, InheritedSockets, inherited_descriptors
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.settings import Settings
from tests.support.ports import free_port


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, []),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "8"}, []),
        ({"LISTEN_FDS": "-1", "LISTEN_PID": "7"}, []),
        ({"LISTEN_FDS": "\u0662", "LISTEN_PID": "7"}, []),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "7"}, [("", 3), ("unknown", 4)]),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "7", "LISTEN_FDNAMES": "web:own.9000.0"}, [("web", 3), ("own.9000.0", 4)]),
    ],
)
def test_what_the_environment_says_is_for_one_process(environ: dict[str, str], expected: list[tuple[str, int]]) -> None:
    assert inherited_descriptors(environ, 7) == expected


def test_children_hear_nothing_of_them() -> None:
    environ = {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid()), "NOTIFY_SOCKET": "@x", "PATH": "/bin"}
    assert InheritedSockets.from_environment(environ, os.getpid()).has_store
    assert environ == {"NOTIFY_SOCKET": "@x", "PATH": "/bin"}  # which the service's reports take


def test_sockets_are_found_by_their_port_in_the_order_of_workers(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    other = socket.create_server(("127.0.0.1", 0))
    kept = InheritedSockets(
        [
            InheritedSocket("shared.8000.10", listening.dup(), port),
            InheritedSocket("shared.8000.2", listening.dup(), port),
            InheritedSocket("own.1.0", other, 1),
        ]
    )
    with ExitStack() as stack:
        first = kept.unclaimed
        found = [stack.enter_context(sock) for sock in kept.claim(port, 9)]
        assert found == [first[1].sock, first[0].sock]
        assert kept.claim(port, 9) == []
        kept.close_unclaimed()
        assert other.fileno() == -1


class Store:
    """Where sockets are kept: notes what it is told, as systemd's file descriptor store is."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.address = f"@headrace-test-{secrets.token_hex(8)}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("\0" + self.address[1:])

    def held(self) -> list[str]:
        """Return the names of what is kept."""
        with suppress(BlockingIOError):
            while True:
                data, fds, _, _ = socket.recv_fds(self._socket, 4096, 16)
                for fd in fds:
                    os.close(fd)
                said = dict(line.split("=") for line in data.decode().splitlines())
                if "FDSTORE" in said:
                    self.names.append(said["FDNAME"])
                else:  # systemd removes all of that name
                    self.names = [name for name in self.names if name != said["FDNAME"]]
        return self.names

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    yield made
    made.close()


async def opened(port: int, workers: int, kept: InheritedSockets) -> list[socket.socket]:
    """Return the sockets of the shared port of an app-proxy that starts, and stops once it has them."""
    found: list[socket.socket] = []

    async def take(_own_port: int | None, sockets: list[socket.socket]) -> None:
        found.extend(sock.dup() for sock in sockets)

    async def closed(_own_port: int) -> None:
        raise AssertionError

    settings = Settings(listen_port=port, listen_host="127.0.0.1")
    listeners = Listeners(settings, RouteTables(), workers=workers, listen=take, unlisten=closed, inherited=kept)
    listeners.on_serving = listeners.stop
    await listeners.run()
    return found


def given(store: Store, sockets: list[socket.socket]) -> InheritedSockets:
    """What the next start gets of these."""
    return InheritedSockets(
        [InheritedSocket(name, sock, sock.getsockname()[1]) for name, sock in zip(store.held(), sockets, strict=True)],
        store.address,
    )


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_with_another_number_of_workers_each_socket_is_kept_that_one_accepts_on(store: Store, after: int) -> None:
    """One that is kept though nobody accepts on it gets its part of the callers, who would wait there."""
    before = await opened(0, 2, InheritedSockets([], store.address))
    port = before[0].getsockname()[1]
    assert store.held() == [f"shared.{port}.{n}" for n in range(2)]
    kept = await opened(port, after, given(store, before))
    assert {sock.getsockname()[1] for sock in kept} == {port}
    assert store.held() == [f"shared.{port}.{n}" for n in range(after)]
    for sock in kept:
        sock.close()


async def test_after_a_change_of_the_port_what_was_opened_is_kept_and_what_was_before_is_not(store: Store) -> None:
    before = await opened(0, 1, InheritedSockets([], store.address))
    port = free_port()
    for sock in await opened(port, 1, given(store, before)):
        sock.close()
    assert store.held() == [f"shared.{port}.0"]


def test_a_socket_on_another_port_than_is_set_is_refused_at_the_start(
    listening: socket.socket, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    port = listening.getsockname()[1]
    kept = InheritedSockets([InheritedSocket("web", listening, port)])
    (found,) = preflight_errors(Settings(listen_port=0, admin_port=0, listen_host="127.0.0.1"), kept)
    assert found == f"LISTEN_FDS: web listens on port {port}; HEADRACE_APPPROXY_LISTEN_PORT is 0"
    assert preflight_errors(Settings(listen_port=port, admin_port=0, listen_host="127.0.0.1"), kept) == []
