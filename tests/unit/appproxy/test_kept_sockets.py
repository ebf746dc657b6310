"""Listening sockets that come with the start: who they are meant for, and on which port they are."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from headrace.appproxy.kept_sockets import Given, KeptSockets, named
from headrace.appproxy.settings import Settings
from headrace.appproxy.start_checks import what_is_wrong


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.mark.parametrize(("environ", "expected"), [
    ({}, []),
    ({"LISTEN_FDS": "2", "LISTEN_PID": "8"}, []),
    ({"LISTEN_FDS": "-1", "LISTEN_PID": "7"}, []),
    ({"LISTEN_FDS": "\u0662", "LISTEN_PID": "7"}, []),
    ({"LISTEN_FDS": "2", "LISTEN_PID": "7"}, [("", 3), ("unknown", 4)]),
    ({"LISTEN_FDS": "2", "LISTEN_PID": "7", "LISTEN_FDNAMES": "web:port-9000.0"}, [("web", 3), ("port-9000.0", 4)]),
])  # fmt: skip
def test_what_the_environment_says_is_for_one_process(environ: dict[str, str], expected: list[tuple[str, int]]) -> None:
    assert named(environ, 7) == expected


def test_children_hear_nothing_of_them() -> None:
    environ = {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid()), "NOTIFY_SOCKET": "@x", "PATH": "/bin"}
    assert KeptSockets.taken(environ, os.getpid()).kept
    assert environ == {"PATH": "/bin"}


def test_sockets_are_found_by_their_port_in_the_order_of_workers(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    other = socket.create_server(("127.0.0.1", 0))
    kept = KeptSockets(
        [
            Given("shared.10", listening.dup(), port),
            Given("shared.2", listening.dup(), port),
            Given("port-1.0", other, 1),
        ]
    )
    with ExitStack() as stack:
        first = kept.given
        found = [stack.enter_context(sock) for sock in kept.take(port)]
        assert found == [first[1].sock, first[0].sock]
        assert kept.take(port) == []
        kept.drop_others()
        assert other.fileno() == -1


def test_a_socket_on_another_port_than_is_set_is_refused_at_the_start(
    listening: socket.socket, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    port = listening.getsockname()[1]
    kept = KeptSockets([Given("web", listening, port)])
    (found,) = what_is_wrong(Settings(listen_port=0, admin_port=0, listen_host="127.0.0.1"), kept)
    assert found == f"LISTEN_FDS: web listens on port {port}; HEADRACE_APPPROXY_LISTEN_PORT is 0"
    assert what_is_wrong(Settings(listen_port=port, admin_port=0, listen_host="127.0.0.1"), kept) == []
