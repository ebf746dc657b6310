"""What a case of the corpus is: bytes that a caller sends, why they are dangerous, and what must come of them."""

from __future__ import annotations

from dataclasses import dataclass

CANARY = b"GET /chat/canary HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
"""Sent behind every case: it is the smuggled request's victim, and it ends the connection."""
NEXT = b"GET /chat/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
HELLO_CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


@dataclass(frozen=True)
class Refused:
    """An error answer, then the connection ends; the backend never gets a whole request, nor the canary.

    `begun`: the head was in order, so the backend may have seen the request's beginning; it must then be cut off.
    """

    status: frozenset[int] = frozenset({400})
    begun: bool = False


@dataclass(frozen=True)
class Passed:
    """The backend gets exactly these requests, one for each body, each with one framing; then the canary.

    present, absent: what the first one's head must and must not hold, compared in lower case. target: its request target.
    """

    bodies: tuple[bytes, ...] = (b"",)
    present: tuple[bytes, ...] = ()
    absent: tuple[bytes, ...] = ()
    target: bytes = b""


@dataclass(frozen=True)
class Answered:
    """The proxy itself answers with one of these; the backend gets nothing of the case. The connection may live on."""

    status: frozenset[int]


Verdict = Refused | Passed | Answered


@dataclass(frozen=True)
class Case:
    """`sent` in one or several writes. `differs`: why the outcome may be more lenient than nginx's, or divide bytes otherwise."""

    id: str
    sent: bytes | tuple[bytes, ...]
    why: str
    verdict: Verdict
    differs: str = ""
    alone: bool = False
    """No canary behind it: the message is not whole."""

    @property
    def segments(self) -> tuple[bytes, ...]:
        """What is written, the canary included."""
        own = self.sent if isinstance(self.sent, tuple) else (self.sent,)
        return own if self.alone else (*own[:-1], own[-1] + CANARY)


def refused(*status: int, begun: bool = False) -> Refused:
    """Refused with 400 or one of `status`."""
    return Refused(frozenset({400, *status}), begun)


def passed(
    *bodies: bytes, present: tuple[bytes, ...] = (), absent: tuple[bytes, ...] = (), target: bytes = b""
) -> Passed:
    """Passed with these bodies; without any, one request without a body."""
    return Passed(bodies or (b"",), present, absent, target)


def answered(*status: int) -> Answered:
    """Answered by the proxy."""
    return Answered(frozenset(status))


def post(fields: bytes, body: bytes = b"") -> bytes:
    """A POST with these field lines."""
    return b"POST /chat/x HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n" + body


def get(fields: bytes = b"", *, line: bytes = b"GET /chat/x HTTP/1.1", host: bytes = b"Host: h\r\n") -> bytes:
    """A GET, or whatever `line` is, with these field lines."""
    return line + b"\r\n" + host + fields + b"\r\n"


def chunked(body: bytes) -> bytes:
    """A POST with `Transfer-Encoding: chunked` and these raw bytes as its body."""
    return post(b"Transfer-Encoding: chunked\r\n", body)
