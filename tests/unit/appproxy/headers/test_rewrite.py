"""Which fields pass, and which never do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.headers import rewrite
from headrace.appproxy.dataplane.http1.field_names import lines_of
from headrace.appproxy.dataplane.http1.heads import UNTIL_CLOSE, RequestHead, ResponseHead, options


def head_with(*given: tuple[bytes, bytes]) -> RequestHead:
    head = RequestHead(b"GET", b"/", 1, lines_of(list(given)))
    head.connection = tuple(o for name, value in given if name.lower() == b"connection" for o in options(value))
    return head


def sent(*given: tuple[bytes, bytes]) -> list[bytes]:
    return rewrite.rewrite_request(head_with(*given))[0]


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-User",
        "x-forwarded-email",
        "X_Forwarded_User",
        "X-FORWARDED-GROUPS",
        "Remote-User",
        "X-Remote-User",
        "Remote_User",
        "X-Auth-Request-User",
        "X-Headrace-Anything",
        "Authorization",
        "Connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Expect",
        "Forwarded",
        "X-Real-IP",
        "HTTP2-Settings",
        "X-User",
        "x_real_ip",
        "Proxy",
        "X-Client-IP",
        "True-Client-IP",
        "X-Cluster-Client-IP",
        "CF-Connecting-IP",
        "Content-Length",
        "content_length",
        "Host",
        "X-Forwarded-For",
        "X-Request-Id",
        "Transfer_Encoding",
        "traceparent",
    ],
)
def test_neither_identity_nor_hop_by_hop_fields_pass(name: str) -> None:
    assert sent((name.encode(), b"root"), (b"Accept", b"*/*")) == [b"Accept: */*", b"Via: 1.1 headrace"]


def test_what_is_named_in_connection_ends_here() -> None:
    passed = sent((b"Connection", b"close, X-Mine"), (b"X-Mine", b"1"), (b"X-Yours", b"2"))
    assert passed == [b"X-Yours: 2", b"Via: 1.1 headrace"]


def test_what_the_proxy_reads_itself() -> None:
    given = (
        (b"authorization", b"Bearer a"),
        (b"Authorization", b"Bearer b"),
        (b"X-Forwarded-Proto", b"https"),
        (b"Via", b"1.0 front"),
    )
    passed, asked = rewrite.rewrite_request(head_with(*given))
    assert passed == [b"Via: 1.0 front, 1.1 headrace"]
    assert asked == {rewrite.AUTHORIZATION: [b"Bearer a", b"Bearer b"], rewrite.PROTO: [b"https"]}


def test_spellings_without_end_fill_no_memory() -> None:
    for n in range(10_000):
        assert sent((b"X-Odd-%d" % n, b"1"))[0] == b"X-Odd-%d: 1" % n


def test_cookies() -> None:
    head = head_with((b"Cookie", b"a=1; session=abc=; b=2"))
    assert (rewrite.cookie(head, b"session"), rewrite.cookie(head, b"b"), rewrite.cookie(head, b"c")) == (
        b"abc=",
        b"2",
        b"",
    )


class Told:
    """A reply with the whole head of one answer."""

    def __init__(self, reply: rewrite.ResponseRewrite, head: bytes) -> None:
        self.reply, self.head = reply, head


def answer(
    *given: tuple[bytes, bytes], status: int = 200, length: int = 2, minor: int = 1, closes: bool = False
) -> Told:
    head = ResponseHead(status, b"OK", 1, list(given))
    head.length = length
    head.content_length = next((int(value) for name, value in given if name.lower() == b"content-length"), None)
    head.connection = tuple(o for name, value in given if name.lower() == b"connection" for o in options(value))
    reply = rewrite.rewrite_response(head, minor=minor, closes=closes, replica=b"10.0.0.7:20001", prefix=b"/chat")
    return Told(reply, reply.head(head, date=b"Date: now\r\n", extra=b"", cors=b"", request_id=b"r1"))


def test_repeated_fields_stay_repeated_and_hop_by_hop_ones_end() -> None:
    given = (
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
        (b"Connection", b"keep-alive, X-A"),
        (b"Keep-Alive", b"timeout=5"),
        (b"x-a", b"1"),
        (b"Content-Length", b"2"),
        (b"X-Request-Id", b"theirs"),
    )
    assert answer(*given).head == (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\nDate: now\r\nX-Request-Id: r1\r\n\r\n"
    )


def test_no_replica_sets_the_cookie_of_a_login_at_the_manager() -> None:
    given = ((b"set-cookie", b"a=1"), (b"SET-COOKIE", b"__Host-headrace_login=x; Path=/"), (b"Content-Length", b"2"))
    assert b"headrace_login" not in answer(*given).head
    assert b"set-cookie: a=1\r\n" in answer(*given).head
    switched = rewrite.switching_head(
        ResponseHead(101, b"Switching Protocols", 1, [(b"Set-Cookie", b"=headrace_login=x"), (b"Set-Cookie", b"a=1")]),
        extra=b"",
        request_id=b"r1",
    )
    assert b"headrace_login" not in switched
    assert b"Set-Cookie: a=1\r\n" in switched


def test_a_204_has_no_length_and_an_answer_without_end_is_chunked() -> None:
    assert b"Content-Length" not in answer((b"Content-Length", b"0"), status=204, length=0).head
    open_end = answer((b"Content-Type", b"text/event-stream; charset=utf-8"), length=UNTIL_CLOSE).reply
    assert (open_end.chunked, open_end.until_close, open_end.closes, open_end.events) == (True, False, False, True)
    old = answer((b"Content-Type", b"text/event-stream"), length=UNTIL_CLOSE, minor=0).reply
    assert (old.chunked, old.until_close, old.closes) == (False, True, True)
    assert b"Connection: keep-alive\r\n" in answer((b"Content-Length", b"2"), minor=0).head
    assert not answer(
        (b"Content-Type", b"text/event-stream"), (b"Content-Encoding", b"gzip"), length=UNTIL_CLOSE
    ).reply.events


def test_a_reply_is_made_once_for_answers_alike_and_anew_for_other_callers() -> None:
    head = ResponseHead(200, b"OK", 1, [(b"Location", b"/x"), (b"Content-Length", b"3")])
    head.length = head.content_length = 3
    first = rewrite.rewrite_response(head, minor=1, closes=False, replica=b"r:1", prefix=b"/chat")
    assert rewrite.rewrite_response(head, minor=1, closes=False, replica=b"r:1", prefix=b"/chat") is first
    assert (
        rewrite.rewrite_response(head.resized(4, b"4"), minor=1, closes=False, replica=b"r:1", prefix=b"/chat") is first
    )
    assert b"Content-Length: 4\r\n" in first.head(head.resized(4, b"4"), date=b"", extra=b"", cors=b"", request_id=b"r")
    assert (
        b"Location: /other/x\r\n"
        in rewrite.rewrite_response(head, minor=1, closes=False, replica=b"r:1", prefix=b"/other").fields
    )
    assert rewrite.rewrite_response(head, minor=1, closes=True, replica=b"r:1", prefix=b"/chat").closes
    assert not rewrite.rewrite_response(head, minor=1, closes=False, replica=b"r:1", prefix=b"/chat").closes


LIMITED = (
    (b"X-RateLimit-Limit-Requests", b"9"),
    (b"x-ratelimit-remaining-tokens", b"8"),
    (b"Retry-After-Ms", b"70"),
    (b"Retry-After", b"1"),
    (b"X-Headrace-Limits", b"shared"),
    (b"X_Headrace_Odd", b"x"),
    (b"X-Headraces", b"y"),
)
THEIRS = b"X-RateLimit-Limit-Requests: 9\r\nx-ratelimit-remaining-tokens: 8\r\nRetry-After-Ms: 70\r\n"
OURS = b"x-ratelimit-limit-tokens: 5\r\nx-headrace-limits: local\r\n"


def test_a_replicas_limits_give_way_to_ours_and_are_told_where_we_have_none() -> None:
    head = ResponseHead(429, b"Slow", 1, list(LIMITED))
    head.length = 0
    reply = rewrite.rewrite_response(head, minor=1, closes=False, replica=b"r:1", prefix=b"")
    passed = b"HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nX-Headraces: y\r\n"
    for ours, told in ((b"", THEIRS), (OURS, OURS), (b"", THEIRS)):
        assert rewrite.rewrite_response(head, minor=1, closes=False, replica=b"r:1", prefix=b"") is reply
        assert (
            reply.head(head, date=b"", extra=ours, cors=b"", request_id=b"r")
            == passed + told + b"X-Request-Id: r\r\n\r\n"
        )


def test_what_the_replica_tells_browsers_gives_way_to_what_the_service_has() -> None:
    head = ResponseHead(
        200,
        b"OK",
        1,
        [
            (b"Access-Control-Allow-Origin", b"*"),
            (b"Vary", b"Origin"),
            (b"access-control-max-age", b"5"),
            (b"Connection", b"access-control-max-age"),
        ],
    )
    head.length = 0
    head.connection = (b"access-control-max-age",)
    reply = rewrite.rewrite_response(head, minor=1, closes=False, replica=b"10.0.0.7:20001", prefix=b"")
    passed, end = b"HTTP/1.1 200 OK\r\nVary: Origin\r\n", b"X-Request-Id: r\r\n\r\n"
    for own, told in ((b"", b"Access-Control-Allow-Origin: *\r\n"), (b"Vary: Origin\r\n", b"Vary: Origin\r\n")):
        assert reply.head(head, date=b"", extra=b"", cors=own, request_id=b"r") == passed + told + end


def test_a_limit_that_is_for_the_next_hop_ends_here() -> None:
    assert (
        b"Limit"
        not in answer((b"X-RateLimit-Limit-Requests", b"9"), (b"Connection", b"x-ratelimit-limit-requests")).head
    )


def test_a_switch_stays_whole() -> None:
    head = ResponseHead(
        101, b"Switching", 1, [(b"Upgrade", b"websocket"), (b"Connection", b"upgrade"), (b"Sec-WebSocket-Accept", b"k")]
    )
    assert rewrite.switching_head(head, extra=b"", request_id=b"r1") == (
        b"HTTP/1.1 101 Switching\r\nSec-WebSocket-Accept: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Request-Id: r1\r\n\r\n"
    )


@pytest.mark.parametrize(("ours", "theirs", "told"), [(b"", THEIRS, b""), (OURS, b"", OURS)])
def test_a_switch_tells_the_callers_limits_as_other_answers_do(ours: bytes, theirs: bytes, told: bytes) -> None:
    kept = theirs + b"Retry-After: 1\r\nX-Headraces: y\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    assert (
        rewrite.switching_head(ResponseHead(101, b"S", 1, list(LIMITED)), extra=ours, request_id=b"r")
        == b"HTTP/1.1 101 S\r\n" + kept + told + b"X-Request-Id: r\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("given", "prefix", "passed"),
    [
        ("http://10.0.0.7:20001/docs/?a=1", "/chat", "/chat/docs/?a=1"),
        ("http://10.0.0.7:20001", "/chat", "/chat/"),
        ("http://10.0.0.7:20001/docs/", "", "/docs/"),
        ("http://10.0.0.7:200011/docs/", "/chat", "http://10.0.0.7:200011/docs/"),
        ("http://10.0.0.7:20001//evil.example", "/chat", "/chat//evil.example"),
        ("http://10.0.0.7:20001//evil.example", "", "/.//evil.example"),
        ("/docs/", "/chat", "/chat/docs/"),
        ("/docs/", "", "/docs/"),
        ("/chat/docs/", "/chat", "/chat/docs/"),
        ("/chatter", "/chat", "/chat/chatter"),
        ("docs/", "/chat", "docs/"),
        ("?page=2", "/chat", "?page=2"),
        ("//cdn.example.com/x", "/chat", "//cdn.example.com/x"),
        ("https://id.example.com/login", "/chat", "https://id.example.com/login"),
    ],
)
def test_redirects_stay_in_the_service_and_name_no_inner_address(given: str, prefix: str, passed: str) -> None:
    assert rewrite.external_location(given.encode(), b"10.0.0.7:20001", prefix.encode()) == passed.encode()


@pytest.mark.parametrize(
    "host", ["", "a.example.com", "a.example.com:8000", "127.0.0.1:80", "[::1]:80", "xn--bcher-kva.example"]
)
def test_hosts(host: str) -> None:
    assert rewrite.is_host(host.encode("latin-1"))


@pytest.mark.parametrize(
    "host", ["a b", "a/b", "a\\b", "a@b", "a?b", "a#b", 'a"b', "a<b", "a,b", "\xe9", "a\n", "x" * 256]
)
def test_what_is_no_host(host: str) -> None:
    assert not rewrite.is_host(host.encode("latin-1"))


@given(st.binary(max_size=70) | st.text("aZ09._- ", max_size=70).map(str.encode))
def test_ids_that_are_taken_over(text: bytes) -> None:
    assert rewrite.is_request_id(text) == (re.fullmatch(rb"[A-Za-z0-9._-]{1,64}", text) is not None)
