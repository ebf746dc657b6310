"""What a service tells systemd: the datagrams that arrive at a real notification socket."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest

from headrace.common.runtime.service_manager import MAX_STATUS, NotifySocket, ServiceManager
from tests.support.wait import eventually


class Systemd:
    """The other end of the notification socket."""

    def __init__(self) -> None:
        self.address = f"@headrace-test-{secrets.token_hex(8)}"
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("\0" + self.address[1:])

    def heard(self) -> list[str]:
        """Return all lines so far."""
        with suppress(BlockingIOError):
            while True:
                self.said += self._socket.recv(65536).decode().splitlines()
        return self.said

    def statuses(self) -> list[str]:
        return [line.removeprefix("STATUS=") for line in self.heard() if line.startswith("STATUS=")]

    def forget(self) -> None:
        self.heard()
        self.said = []

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd() -> Iterator[Systemd]:
    made = Systemd()
    yield made
    made.close()


class Admin:
    """The task of a service that knows its checks."""

    def __init__(self) -> None:
        self.fails: dict[str, str] = {}
        self.noted: dict[str, str] = {}

    def failing(self) -> Mapping[str, str]:
        return self.fails

    def warnings(self) -> Mapping[str, str]:
        return self.noted


async def test_it_is_ready_once_its_checks_pass_and_says_what_it_waits_for(systemd: Systemd) -> None:
    admin = Admin()
    admin.fails = {"bus": "unreachable:\nconnection refused"}
    async with ServiceManager(NotifySocket(systemd.address)).told() as reports:
        await eventually(lambda: systemd.statuses() == ["starting"])
        reports.started([object(), admin])
        assert systemd.statuses()[-1] == "waiting: bus: unreachable: connection refused"
        systemd.forget()
        await eventually(lambda: len(systemd.heard()) > 1)
        assert set(systemd.heard()) == {"EXTEND_TIMEOUT_USEC=60000000"}  # it may wait for as long as its loop lives
        admin.fails = {}
        await eventually(lambda: "READY=1" in systemd.heard())
        assert systemd.statuses() == ["ready"]
        reports.stopping()
        assert systemd.heard()[-3:] == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=60000000", "STATUS=stopping"]


async def test_what_fails_later_is_in_its_status_and_takes_nothing_back(systemd: Systemd) -> None:
    admin = Admin()
    async with ServiceManager(NotifySocket(systemd.address), watchdog_s=0.03).told() as reports:
        reports.started([admin])
        assert systemd.statuses() == ["ready"]
        admin.fails = {"bus": "x" * 2 * MAX_STATUS}
        await eventually(lambda: len(systemd.statuses()) == 2)
        assert systemd.statuses()[1] == f"not ready: bus: {'x' * (MAX_STATUS - 5)}"
        admin.fails, admin.noted = {}, {"open-files": "too few"}
        await eventually(lambda: systemd.statuses()[2:] == ["ready; open-files: too few"])
        assert systemd.heard().count("READY=1") == 1


async def test_the_watchdog_hears_of_a_living_event_loop_only(systemd: Systemd) -> None:
    manager = ServiceManager(NotifySocket(systemd.address), watchdog_s=0.03)
    async with manager.told() as reports:
        reports.started([])
        systemd.forget()
        assert systemd.heard() == []  # nothing comes from elsewhere while the loop is not let run
        await eventually(lambda: systemd.heard()[:3] == ["WATCHDOG=1"] * 3)


async def test_a_report_that_could_not_be_sent_is_made_again(systemd: Systemd) -> None:
    address = systemd.address
    systemd.close()
    async with ServiceManager(NotifySocket(address)).told() as reports:
        reports.started([])
        returned = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        returned.bind("\0" + address[1:])
        returned.setblocking(False)
        said: list[str] = []

        def ready() -> bool:
            with suppress(BlockingIOError):
                said.extend(returned.recv(4096).decode().splitlines())
            return "READY=1" in said and "STATUS=ready" in said

        await eventually(ready)
        returned.close()


async def test_without_a_service_manager_nobody_is_told() -> None:
    async with ServiceManager.from_environment({}, 7).told() as reports:
        reports.started([])
        reports.stopping()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "-1"}, 0.0),
        ({"WATCHDOG_USEC": "٣"}, 0.0),
    ],
)
def test_the_environment_is_taken_so_that_children_do_not_report(environ: dict[str, str], seconds: float) -> None:
    environ = {"NOTIFY_SOCKET": "@x", "PATH": "/bin", **environ}
    manager = ServiceManager.from_environment(environ, 7)
    assert (manager.socket.there, manager.watchdog_s) == (True, seconds)
    assert environ == {"PATH": "/bin"}
