"""Health check of a service in a container: `python -m headrace.common.web.probe URL [CA-FILE]`, where there is no curl.

An engine runs it every few seconds in each container, for as long as that lives: it speaks HTTP/1.0 itself and imports what it needs
where it needs it, since Python's client of HTTP and all that it imports are most of such a process's work.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Sequence

TIMEOUT_S = 4.0
"""Of all together. Below the health check's own, so that its output says what was waited for."""
MAX_ANSWER_BYTES = 64 * 1024
_PORTS = {"http": 80, "https": 443}
Secure = Callable[..., socket.socket]
"""Speaks TLS on a connection, as SSLContext.wrap_socket does."""


def probe(url: str, ca_file: str | None = None) -> str | None:
    """GET a `/readyz` or `/livez` and return None if it answers 2xx, else why not, in one line."""
    secure: Secure | None = None
    if url.startswith("https:"):
        from pathlib import Path  # noqa: PLC0415

        from headrace.common.runtime.tls import TlsFileError, client_context  # noqa: PLC0415

        try:
            secure = client_context(Path(ca_file) if ca_file else None).wrap_socket
        except TlsFileError as error:
            return str(error)
    try:
        head, _, body = _answer(url, secure).partition(b"\r\n\r\n")
    except (OSError, ValueError) as error:
        return f"{url} does not answer: {error}"
    protocol, status, *reason = [*head.partition(b"\r\n")[0].decode("latin-1").split(" ", 2), ""]
    if not protocol.startswith("HTTP/"):
        return f"{url} does not answer: found {protocol[:40]!r}; allowed: HTTP"
    return None if status.startswith("2") else f"{url} answered {status}: {_failing(body) or ' '.join(reason).strip()}"


def main(words: Sequence[str]) -> int:
    """Return the exit status: 0 ready, 1 not, 2 wrong usage."""
    if len(words) not in {1, 2} or not words[0].startswith(("http://", "https://")):
        sys.stderr.write("usage: python -m headrace.common.web.probe URL [CA-FILE]\n")
        return 2
    why = probe(words[0], words[1] if words[1:] else None)
    if why is not None:
        sys.stderr.write(f"{why}\n")
    return 0 if why is None else 1


def _answer(url: str, secure: Secure | None) -> bytes:
    """Send the request and return what comes, up to the end of the connection or the bound. OSError or ValueError if nothing does."""
    deadline = time.monotonic() + TIMEOUT_S
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    host, port = _address(authority, _PORTS[scheme])
    answer = b""
    with (
        socket.create_connection((host, port), timeout=TIMEOUT_S) as plain,
        secure(plain, server_hostname=host) if secure else plain as connection,
    ):
        connection.sendall(f"GET /{path} HTTP/1.0\r\nHost: {authority}\r\n\r\n".encode("ascii"))
        while len(answer) < MAX_ANSWER_BYTES and (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            received = connection.recv(MAX_ANSWER_BYTES)
            if not received:
                break
            answer += received
    if not answer:
        raise OSError("the connection ended without an answer")
    return answer


def _address(authority: str, default: int) -> tuple[str, int]:
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):  # an IPv6 address without a port
        host, port = authority, str(default)
    return host.removeprefix("[").removesuffix("]"), int(port)


def _failing(body: bytes) -> str:
    """Return the failing checks of a `/readyz`; empty if it is another answer."""
    import json  # noqa: PLC0415

    try:
        return "; ".join(f"{name}: {why}" for name, why in json.loads(body)["failing"].items())
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
