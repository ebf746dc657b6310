"""What a replica may answer wrongly, and what its caller must get."""

from __future__ import annotations

from dataclasses import dataclass

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED"
"""An answer that nobody asked for: it must never be anybody's."""


@dataclass(frozen=True)
class Gets:
    """The caller gets this whole answer, and the next request on its connection is answered."""

    status: int
    body: bytes = b""
    absent: tuple[bytes, ...] = ()
    present: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Fails:
    """The caller gets 502: nothing of the answer, and the next request is answered."""


@dataclass(frozen=True)
class Breaks:
    """The answer had begun: the caller can tell that it is not whole, and gets nothing more on this connection."""


@dataclass(frozen=True)
class AnswerCase:
    """`sent` in one or several writes to a `method` request; then, with `closes`, the replica ends the connection."""

    id: str
    sent: bytes | tuple[bytes, ...]
    why: str
    want: Gets | Fails | Breaks
    method: bytes = b"GET"
    closes: bool = False

    @property
    def segments(self) -> tuple[bytes, ...]:
        return self.sent if isinstance(self.sent, tuple) else (self.sent,)


def ok(fields: bytes, body: bytes = b"", *, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """An answer with these field lines."""
    return line + b"\r\n" + fields + b"\r\n" + body


def sized(*, line: bytes = b"HTTP/1.1 200 OK", fields: bytes = b"") -> bytes:
    """An answer whose body is `hello`."""
    return ok(fields + b"Content-Length: 5\r\n", b"hello", line=line)


_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_HELLO = b"5\r\nhello\r\n0\r\n\r\n"
_BAD_FIELDS = (
    ("two-lengths", b"Content-Length: 5\r\nContent-Length: 6\r\n", "which one? (RFC 9112 6.3 (5): 502)"),
    ("length-list", b"Content-Length: 5, 6\r\n", "a list of lengths"),
    ("length-plus", b"Content-Length: +5\r\n", "a sign"),
    ("length-negative", b"Content-Length: -5\r\n", "a sign"),
    ("length-empty", b"Content-Length: \r\n", "empty"),
    ("length-overflow", b"Content-Length: 18446744073709551621\r\n", "wraps to 5"),
    ("length-and-chunked", b"Content-Length: 5\r\n" + _CHUNKED, "TE and CL: response splitting (RFC 9112 6.3 (3))"),
    ("chunked-and-length", _CHUNKED + b"Content-Length: 5\r\n", "TE and CL"),
    ("gzip", b"Transfer-Encoding: gzip\r\n", "a coding that the caller cannot be given"),
    ("gzip-chunked", b"Transfer-Encoding: gzip, chunked\r\n", "a coding that was not asked for"),
    ("identity", b"Transfer-Encoding: identity\r\n", "removed by RFC 7230"),
    ("xchunked", b"Transfer-Encoding: xchunked\r\n", "until close for llhttp, chunks for others"),
    ("chunked-twice", b"Transfer-Encoding: chunked, chunked\r\n", "applied twice"),
    ("chunked-parameter", b"Transfer-Encoding: chunked;q=1\r\n", "no parameters"),
    ("fold", b"X: y\r\n z\r\nContent-Length: 5\r\n", "obs-fold"),
    ("blank-before-colon", b"X : y\r\nContent-Length: 5\r\n", "a proxy must not pass it (RFC 9112 5.1)"),
    ("no-colon", b"X y\r\nContent-Length: 5\r\n", "no colon"),
    ("empty-name", b": y\r\nContent-Length: 5\r\n", "an empty name"),
    ("bare-lf", b"X: y\nSet-Cookie: a=b\r\nContent-Length: 5\r\n", "header injection by a bare LF"),
    ("bare-cr", b"X: y\rSet-Cookie: a=b\r\nContent-Length: 5\r\n", "header injection by a bare CR"),
    ("nul", b"X: a\x00b\r\nContent-Length: 5\r\n", "NUL in a value"),
    ("control", b"X: a\x01b\r\nContent-Length: 5\r\n", "a control byte"),
    ("first-line-blank", b" X: y\r\nContent-Length: 5\r\n", "white space before the first field"),
)
_BAD_LINES = (
    ("version-0.9", b"HTTP/0.9 200 OK", "not served"),
    ("version-2.0", b"HTTP/2.0 200 OK", "llhttp takes it"),
    ("version-1.2", b"HTTP/1.2 200 OK", "not served"),
    ("version-lower", b"http/1.1 200 OK", "the name has a case"),
    ("rtsp", b"RTSP/1.0 200 OK", "llhttp takes it"),
    ("icy", b"ICY 200 OK", "no HTTP"),
    ("status-two-digits", b"HTTP/1.1 20 OK", "three digits"),
    ("status-four-digits", b"HTTP/1.1 2000 OK", "three digits"),
    ("status-099", b"HTTP/1.1 099 OK", "no class"),
    ("status-000", b"HTTP/1.1 000 OK", "no class"),
    ("status-999", b"HTTP/1.1 999 OK", "no class"),
    ("status-plus", b"HTTP/1.1 +20 OK", "a sign"),
    ("status-two-blanks", b"HTTP/1.1  200 OK", "two blanks"),
    ("garbage", b"hello, this is no HTTP", "no HTTP"),
    ("request", b"GET / HTTP/1.1", "a request as an answer"),
    ("leading-blank", b" HTTP/1.1 200 OK", "a blank before it"),
)
_BAD_CHUNKS = (
    ("size", b"zz\r\nhello\r\n0\r\n\r\n", "not hexadecimal"),
    ("sign", b"+5\r\nhello\r\n0\r\n\r\n", "a sign"),
    ("overflow", b"10000000000000005\r\nhello\r\n0\r\n\r\n", "wraps to 5"),
    ("no-crlf", b"5\r\nhelloXX0\r\n\r\n", "two bytes skipped unseen"),
    ("lf", b"5\nhello\n0\n\n", "bare LF"),
    ("extension-lf", b"5;\nxx\r\nhello\r\n0\r\n\r\n", "TERM.EXT"),
    ("extension-huge", b"5;" + b"a" * 100_000 + b"\r\nhello\r\n0\r\n\r\n", "an extension without end"),
)

ANSWERS: tuple[AnswerCase, ...] = (
    *(AnswerCase(f"answer-{i}", ok(f, b"hello"), w, Fails(), closes=True) for i, f, w in _BAD_FIELDS),
    *(AnswerCase(f"line-{i}", sized(line=line), w, Fails(), closes=True) for i, line, w in _BAD_LINES),
    *(AnswerCase(f"chunk-{i}", (ok(_CHUNKED, b"1\r\nx\r\n"), b), w, Breaks()) for i, b, w in _BAD_CHUNKS),
    AnswerCase(
        "chunk-bad-at-once",
        (ok(_CHUNKED), b"5;\nxx\r\nhello\r\n", b"0\r\n\r\n"),
        "TERM.EXT in a read of its own",
        Breaks(),
    ),
    AnswerCase("plain", sized(), "the plain case must work", Gets(200, b"hello")),
    AnswerCase("chunked", ok(_CHUNKED, _HELLO), "chunks", Gets(200, b"hello")),
    AnswerCase(
        "chunked-in-pieces",
        (b"HTTP/1.1 200 O", b"K\r\nTransfer-Encod", b"ing: chunked\r\n\r", b"\n5", b"\r\nhel", b"lo\r\n0\r\n\r", b"\n"),
        "divided anywhere",
        Gets(200, b"hello"),
    ),
    AnswerCase(
        "chunk-extension", ok(_CHUNKED, b'5;a="b"\r\nhello\r\n0\r\n\r\n'), "extensions end here", Gets(200, b"hello")
    ),
    AnswerCase(
        "trailers",
        ok(_CHUNKED + b"Trailer: X\r\n", b"5\r\nhello\r\n0\r\nX: y\r\nSet-Cookie: a=b\r\n\r\n"),
        "trailers are never merged into the head",
        Gets(200, b"hello", absent=(b"set-cookie",)),
    ),
    AnswerCase(
        "until-close", ok(b"", b"hello"), "no length: ends with the connection", Gets(200, b"hello"), closes=True
    ),
    AnswerCase(
        "http10-until-close",
        ok(b"", b"hello", line=b"HTTP/1.0 200 OK"),
        "1.0 ends with the connection",
        Gets(200, b"hello"),
        closes=True,
    ),
    AnswerCase("http10-length", sized(line=b"HTTP/1.0 200 OK"), "1.0 with a length", Gets(200, b"hello")),
    AnswerCase(
        "http10-chunked",
        ok(_CHUNKED, _HELLO, line=b"HTTP/1.0 200 OK"),
        "1.0 has no transfer encodings",
        Fails(),
        closes=True,
    ),
    AnswerCase("early-end", ok(b"Content-Length: 10\r\n", b"hello"), "shorter than it says", Breaks(), closes=True),
    AnswerCase("early-end-chunk", ok(_CHUNKED, b"a\r\nhello"), "ends in a chunk", Breaks(), closes=True),
    AnswerCase("early-end-chunks", ok(_CHUNKED, b"5\r\nhello\r\n"), "no last chunk", Breaks(), closes=True),
    AnswerCase("early-end-head", b"HTTP/1.1 200 OK\r\nContent-Le", "ends in its head", Fails(), closes=True),
    AnswerCase("nothing", b"", "nothing at all", Fails(), closes=True),
    AnswerCase(
        "extra-bytes", sized() + b"extra", "bytes behind the end are nobody's", Gets(200, b"hello", absent=(b"extra",))
    ),
    AnswerCase(
        "extra-answer",
        sized() + GOOD,
        "a second answer must not become the next caller's (response queue poisoning)",
        Gets(200, b"hello"),
    ),
    AnswerCase("extra-answer-chunked", ok(_CHUNKED, _HELLO) + GOOD, "behind the last chunk", Gets(200, b"hello")),
    AnswerCase("extra-lines", sized() + b"\r\n\r\n", "empty lines behind the end", Gets(200, b"hello")),
    AnswerCase(
        "204-body",
        ok(b"Content-Length: 5\r\n", b"hello", line=b"HTTP/1.1 204 No Content"),
        "204 has no body (RFC 9112 6.3 (1))",
        Gets(204, absent=(b"content-length",)),
    ),
    AnswerCase(
        "204-chunked",
        ok(_CHUNKED, _HELLO, line=b"HTTP/1.1 204 No Content"),
        "204 has no body",
        Gets(204, absent=(b"transfer-encoding",)),
    ),
    AnswerCase(
        "204-answer",
        ok(b"Content-Length: %d\r\n" % len(GOOD), GOOD, line=b"HTTP/1.1 204 No Content"),
        "the body of a 204 is an answer",
        Gets(204),
    ),
    AnswerCase(
        "304-length",
        ok(b"Content-Length: 5\r\n", line=b"HTTP/1.1 304 Not Modified"),
        "304 has a length and no body",
        Gets(304),
    ),
    AnswerCase(
        "304-body",
        ok(b"Content-Length: %d\r\n" % len(GOOD), GOOD, line=b"HTTP/1.1 304 Not Modified"),
        "304 with a body",
        Gets(304),
    ),
    AnswerCase(
        "head",
        ok(b"Content-Length: 5\r\n"),
        "HEAD has a length and no body",
        Gets(200, present=(b"content-length: 5",)),
        method=b"HEAD",
    ),
    AnswerCase(
        "head-body", ok(b"Content-Length: %d\r\n" % len(GOOD), GOOD), "HEAD with a body", Gets(200), method=b"HEAD"
    ),
    AnswerCase("head-chunked-body", ok(_CHUNKED, _HELLO + GOOD), "HEAD with chunks", Gets(200), method=b"HEAD"),
    AnswerCase(
        "interim",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + sized(),
        "an interim answer before the final one",
        Gets(200, b"hello"),
    ),
    AnswerCase(
        "interim-some",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + sized(),
        "several",
        Gets(200, b"hello"),
    ),
    AnswerCase("interim-unknown", b"HTTP/1.1 199 Odd\r\n\r\n" + sized(), "any 1xx is interim", Gets(200, b"hello")),
    AnswerCase(
        "interim-flood",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000 + sized(),
        "interim answers without end",
        Fails(),
        closes=True,
    ),
    AnswerCase(
        "switched-unasked",
        ok(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", GOOD, line=b"HTTP/1.1 101 Switching Protocols"),
        "a tunnel that nobody asked for",
        Fails(),
        closes=True,
    ),
    AnswerCase(
        "switched-bare", ok(b"", line=b"HTTP/1.1 101 Switching Protocols"), "101 without fields", Fails(), closes=True
    ),
    AnswerCase(
        "huge-field",
        ok(b"X: " + b"a" * 200_000 + b"\r\nContent-Length: 5\r\n", b"hello"),
        "a head without measure",
        Fails(),
        closes=True,
    ),
    AnswerCase(
        "many-fields",
        ok(b"X: a\r\n" * 20_000 + b"Content-Length: 5\r\n", b"hello"),
        "fields without measure",
        Fails(),
        closes=True,
    ),
    AnswerCase(
        "reason-control",
        sized(line=b"HTTP/1.1 200 O\x00\x01K"),
        "the reason phrase is the proxy's own, or clean",
        Gets(200, b"hello", absent=(b"\x00", b"\x01")),
    ),
    AnswerCase("reason-empty", sized(line=b"HTTP/1.1 200 "), "an empty reason", Gets(200, b"hello")),
    AnswerCase(
        "connection-named",
        sized(fields=b"Connection: X-Secret, Content-Length\r\nX-Secret: a\r\nKeep-Alive: timeout=9\r\n"),
        "hop-by-hop fields end here, the length does not",
        Gets(200, b"hello", absent=(b"x-secret", b"keep-alive: timeout")),
    ),
    AnswerCase(
        "upgrade-offered",
        sized(fields=b"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        "an offer ends here",
        Gets(200, b"hello", absent=(b"h2c",)),
    ),
    AnswerCase(
        "length-zeros", ok(b"Content-Length: 0005\r\n", b"hello"), "legal digits, octal for some", Gets(200, b"hello")
    ),
)
