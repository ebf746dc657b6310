"""Machines as network namespaces: each has its own address in one network, and a link that can be cut.

The switch between them is in a namespace too, where no firewall rule of this machine applies (a Docker engine drops what
bridges forward). Open files of this process are all that holds a namespace: however the process ends, nothing is left of them.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Final

_NEW_NETWORK: Final = 0x40000000
"""CLONE_NEWNET of unshare(2) and setns(2), which Python has from 3.12 on."""
_OWN: Final = "/proc/thread-self/ns/net"
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
NETWORK: Final = "10.77.0"


@dataclass(frozen=True)
class Namespace:
    """Network namespace, held by an open file."""

    file: int

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self.file}"

    def command(self, *words: str) -> tuple[str, ...]:
        """Return the command that runs `words` here; the process that is started becomes the program."""
        return ("nsenter", f"--net={self.path}", "--", *words)

    def ip(self, *words: str) -> None:
        """Run ip(8) here. AssertionError with what it says if it fails."""
        done = subprocess.run(self.command("ip", *words), capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Move this thread here; programs and threads that it starts meanwhile are here, too."""
        before = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _checked(_LIBC.setns(self.file, _NEW_NETWORK), "setns")
            yield
        finally:
            _checked(_LIBC.setns(before, _NEW_NETWORK), "setns")
            os.close(before)


@dataclass(frozen=True)
class Host(Namespace):
    """Machine of the network."""

    address: str
    switch: Namespace
    port: str
    """The switch's end of its link."""

    def cut(self) -> None:
        """Pull the cable: nobody is told, packets go nowhere."""
        self.switch.ip("link", "set", self.port, "down")

    def heal(self) -> None:
        """Put the cable in again."""
        self.switch.ip("link", "set", self.port, "up")


@contextmanager
def network(*names: str) -> Iterator[dict[str, Host]]:
    """Make a host per name, 10.77.0.1 and up, on one switch. Needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN)."""
    with ExitStack() as stack:
        switch = Namespace(stack.enter_context(_new()))
        switch.ip("link", "add", "bridge", "type", "bridge")
        switch.ip("link", "set", "bridge", "up")
        hosts = {}
        for number, name in enumerate(names, 1):
            port = f"port{number}"
            host = Host(stack.enter_context(_new()), f"{NETWORK}.{number}", switch, port)
            switch.ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host.path)
            switch.ip("link", "set", port, "master", "bridge", "up")
            host.ip("link", "set", "lo", "up")
            host.ip("address", "add", f"{host.address}/24", "dev", "eth0")
            host.ip("link", "set", "eth0", "up")
            hosts[name] = host
        yield hosts


@contextmanager
def _new() -> Iterator[int]:
    """Make a network namespace, and yield the open file that holds it."""
    opened: list[int] = []
    problems: list[OSError] = []

    def unshare() -> None:  # in a thread that ends: this one stays where it is
        try:
            _checked(_LIBC.unshare(_NEW_NETWORK), "a network namespace needs root: unshare")
            opened.append(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            problems.append(error)

    thread = Thread(target=unshare)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
    try:
        yield opened[0]
    finally:
        os.close(opened[0])


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
