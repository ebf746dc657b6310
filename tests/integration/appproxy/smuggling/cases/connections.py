"""Connection options, upgrades and expectations: RFC 9110 sections 7.6.1, 7.8 and 10.1.1."""

from __future__ import annotations

from tests.integration.appproxy.smuggling.case import HELLO_CHUNKED, NEXT, Case, answered, get, passed, post, refused

_H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
_WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

CASES = (
    Case(
        "upgrade-h2c",
        get(_H2C),
        "h2c smuggling (Bishop Fox 2020): the upgrade must never reach a backend",
        passed(absent=(b"upgrade", b"http2-settings", b"h2c")),
    ),
    Case(
        "upgrade-h2c-body",
        post(_H2C + b"Content-Length: 5\r\n", b"hello"),
        "Java's HttpClient asks on each POST; the body stays a body",
        passed(b"hello", absent=(b"upgrade", b"h2c")),
    ),
    Case(
        "upgrade-h2c-chunked",
        post(_H2C + b"Transfer-Encoding: chunked\r\n", HELLO_CHUNKED),
        "the same in chunks",
        passed(b"hello", absent=(b"upgrade", b"h2c")),
    ),
    Case(
        "upgrade-h2c-hides-request",
        post(_H2C + b"Content-Length: %d\r\n" % len(NEXT), NEXT),
        "llhttp by httptools leaves the body of an upgrade unread: it must not become a request",
        passed(NEXT),
    ),
    Case(
        "upgrade-h2c-pipelined",
        get(_H2C) + get(),
        "an upgrade that is not taken: the next request is a request",
        passed(b"", b""),
    ),
    Case(
        "upgrade-unknown",
        get(b"Connection: upgrade\r\nUpgrade: x\r\n"),
        "another protocol",
        passed(absent=(b"upgrade",)),
    ),
    Case(
        "upgrade-tls",
        get(b"Connection: upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\n"),
        "RFC 2817",
        passed(absent=(b"upgrade",)),
    ),
    Case(
        "upgrade-without-connection",
        get(b"Upgrade: websocket\r\n"),
        "Upgrade that Connection does not name is nothing",
        passed(absent=(b"upgrade",)),
    ),
    Case(
        "upgrade-http10",
        b"GET /chat/x HTTP/1.0\r\nHost: h\r\nConnection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n\r\n",
        "1.0 has no upgrades (RFC 9110 7.8)",
        passed(absent=(b"upgrade",)),
    ),
    Case(
        "websocket-refused",
        get(_WEBSOCKET),
        "the backend answers 200 to a handshake: no tunnel, the next request is read here",
        passed(present=(b"upgrade: websocket",)),
    ),
    Case(
        "websocket-bad-version",
        get(_WEBSOCKET.replace(b"13", b"777")),
        "the backend refuses the version, the tunnel must not open (0ang3el 2019)",
        passed(),
    ),
    Case(
        "websocket-hides-request",
        get(_WEBSOCKET) + NEXT,
        "bytes behind a handshake that fails are a request, not a tunnel's",
        passed(b"", b""),
    ),
    Case(
        "websocket-body",
        get(_WEBSOCKET + b"Content-Length: 5\r\n") + b"hello",
        "a handshake with a body",
        passed(b"hello"),
    ),
    Case(
        "websocket-post",
        post(_WEBSOCKET + b"Content-Length: 5\r\n", b"hello"),
        "a handshake is a GET",
        passed(b"hello", absent=(b"upgrade",)),
    ),
    Case(
        "connection-length",
        post(b"Connection: close, Content-Length\r\nContent-Length: 5\r\n", b"hello"),
        "dropping the length by name",
        passed(b"hello"),
        alone=True,
    ),
    Case("connection-host", get(b"Connection: Host\r\n"), "dropping Host by name", passed(present=(b"\nhost:",))),
    Case(
        "connection-authorization",
        get(b"Connection: X-Forwarded-For, X-Forwarded-Proto, Via\r\n"),
        "dropping what the proxy adds (CVE-2022-1388 family)",
        passed(present=(b"\nx-forwarded-for:", b"\nx-forwarded-proto:")),
    ),
    Case(
        "connection-request-id",
        get(b"Connection: X-Request-Id\r\n"),
        "dropping what the proxy adds",
        passed(present=(b"\nx-request-id:",)),
    ),
    Case(
        "connection-named",
        get(b"Connection: X-Secret, x-other\r\nX-Secret: a\r\nX-Other: b\r\nX-Kept: c\r\n"),
        "named fields end here",
        passed(present=(b"x-kept: c",), absent=(b"x-secret", b"x-other")),
    ),
    Case(
        "connection-twice",
        get(b"Connection: X-A\r\nConnection: X-B\r\nX-A: a\r\nX-B: b\r\n"),
        "named in two lines",
        passed(absent=(b"x-a:", b"x-b:")),
    ),
    Case(
        "connection-case",
        get(b"cONNECTION: x-SECRET\r\nX-Secret: a\r\n"),
        "names have no case",
        passed(absent=(b"x-secret",)),
    ),
    Case(
        "connection-odd",
        get(b'Connection: ,, ;, "x", a b\r\n'),
        "rubbish in the list",
        passed(absent=(b"\nconnection: ,",)),
    ),
    Case(
        "connection-closed-word",
        get(b"Connection: closed\r\n"),
        "not the option close",
        passed(),
        "nginx searches for `close` anywhere in the value; the request itself is read alike",
    ),
    Case(
        "proxy-connection",
        get(b"Proxy-Connection: close\r\n"),
        "no such field in HTTP; the connection lives on",
        passed(absent=(b"proxy-connection",)),
    ),
    Case(
        "keep-alive-field",
        get(b"Connection: keep-alive\r\nKeep-Alive: timeout=1000000\r\n"),
        "hop-by-hop",
        passed(absent=(b"timeout=1000000",)),
    ),
    Case(
        "close-then-request", get(b"Connection: close\r\n") + NEXT, "nothing behind close is read", passed(), alone=True
    ),
    Case(
        "close-and-keep-alive",
        get(b"Connection: keep-alive, close\r\n") + NEXT,
        "close wins (RFC 9112 9.3)",
        passed(),
        alone=True,
    ),
    Case("close-upper", get(b"Connection: CLOSE\r\n") + NEXT, "options have no case", passed(), alone=True),
    Case(
        "http10-then-request",
        b"GET /chat/x HTTP/1.0\r\nHost: h\r\n\r\n" + NEXT,
        "1.0 ends with its answer",
        passed(),
        alone=True,
    ),
    Case(
        "expect",
        post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello"),
        "with the body behind it at once",
        passed(b"hello", absent=(b"100-continue",)),
    ),
    Case(
        "expect-chunked",
        post(b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", HELLO_CHUNKED),
        "in chunks",
        passed(b"hello", absent=(b"100-continue",)),
    ),
    Case("expect-upper", post(b"EXPECT: 100-CONTINUE\r\nContent-Length: 5\r\n", b"hello"), "no case", passed(b"hello")),
    Case(
        "expect-no-body",
        get(b"Expect: 100-continue\r\n"),
        "nothing to wait for (Expect desync, Kettle 2025)",
        passed(absent=(b"100-continue",)),
    ),
    Case(
        "expect-hides-request",
        post(b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(NEXT), NEXT),
        "the body is a request",
        passed(NEXT),
    ),
    Case(
        "expect-http10",
        b"POST /chat/x HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "ignored in 1.0 (RFC 9110 10.1.1)",
        passed(b"hello", absent=(b"100-continue",)),
    ),
    Case(
        "expect-other",
        post(b"Expect: 200-ok\r\nContent-Length: 5\r\n", b"hello"),
        "another expectation: 417",
        refused(417),
    ),
    Case(
        "expect-obfuscated",
        post(b"Expect: y 100-continue\r\nContent-Length: 5\r\n", b"hello"),
        "obfuscated (Kettle 2025: 0.CL by Expect)",
        refused(417),
    ),
    Case(
        "expect-list",
        post(b"Expect: 100-continue, x\r\nContent-Length: 5\r\n", b"hello"),
        "a list with an unknown one",
        refused(417),
    ),
    Case(
        "expect-fold",
        post(b"Expect:\r\n 100-continue\r\nContent-Length: 5\r\n", b"hello"),
        "folded (Kettle 2025)",
        refused(),
    ),
    Case(
        "expect-unknown-service",
        b"POST /nobody/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(NEXT) + NEXT,
        "refused before the body: its bytes are never requests",
        answered(404),
    ),
    Case(
        "refused-body-hides-request",
        b"POST /nobody/x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(NEXT) + NEXT,
        "an unread body is skipped or the connection ends",
        answered(404),
    ),
    Case(
        "refused-chunks-hide-request",
        b"POST /nobody/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (len(NEXT), NEXT),
        "the same in chunks",
        answered(404),
    ),
    Case("te-field", get(b"TE: trailers\r\nTrailer: X\r\n"), "hop-by-hop", passed(absent=(b"\nte:", b"\ntrailer:"))),
    Case(
        "method-override",
        post(b"X-HTTP-Method-Override: DELETE\r\nContent-Length: 5\r\n", b"hello"),
        "end to end, none of the framing",
        passed(b"hello"),
    ),
    Case("range", get(b"Range: bytes=0-0\r\n"), "end to end", passed(present=(b"range: bytes=0-0",))),
)
