"""Header hygiene."""

from __future__ import annotations

import pytest

from headrace.appproxy.domain.headers import is_host, to_caller, to_replica


def sent(given: list[tuple[str, str]], **more: object) -> dict[str, str]:
    known = {
        "request_id": "r1", "client_ip": "10.1.2.3", "scheme": "http", "host": "api.example.com", "prefix": "/chat",
        "authorization": None, "upgrade": False, "trusted": False,
    }  # fmt: skip
    return dict(to_replica(given, **(known | more)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-User", "x-forwarded-email", "X_Forwarded_User", "X-FORWARDED-GROUPS", "Remote-User", "X-Remote-User", "Remote_User",
        "X-Auth-Request-User", "X-Headrace-Anything", "Authorization", "Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding",
        "Upgrade", "Proxy-Authorization", "Proxy-Connection", "Expect", "Forwarded", "X-Real-IP", "HTTP2-Settings", "X-User", "x_real_ip",
        "Proxy", "X-Client-IP", "True-Client-IP", "X-Cluster-Client-IP", "CF-Connecting-IP",
    ],
)  # fmt: skip
def test_neither_identity_nor_hop_by_hop_headers_pass(name: str) -> None:
    assert name not in sent([(name, "root"), ("Accept", "*/*")])


def test_what_is_named_in_connection_ends_here_and_cannot_remove_ours() -> None:
    passed = sent(
        [
            ("Connection", "close, X-Mine, x-forwarded-for"),
            ("X-Mine", "1"),
            ("X-Yours", "2"),
            ("X-Forwarded-For", "1.1.1.1"),
        ]
    )
    assert "X-Mine" not in passed
    assert passed["X-Yours"] == "2"
    assert passed["X-Forwarded-For"] == "10.1.2.3"


def test_what_the_proxy_says() -> None:
    passed = sent(
        [("Via", "1.0 front"), ("traceparent", "00-1-2-01"), ("X-Request-Id", "mine"), ("X-Forwarded-Proto", "https")]
    )
    assert passed == {
        "traceparent": "00-1-2-01", "X-Forwarded-For": "10.1.2.3", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "api.example.com",
        "X-Forwarded-Prefix": "/chat", "X-Request-Id": "r1", "Via": "1.0 front, 1.1 headrace",
    }  # fmt: skip


def test_a_trusted_proxy_in_front_is_believed() -> None:
    passed = sent(
        [("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "pub.example")],
        trusted=True,
    )
    assert passed["X-Forwarded-For"] == "9.9.9.9, 10.1.2.3"
    assert (passed["X-Forwarded-Proto"], passed["X-Forwarded-Host"]) == ("https", "pub.example")


def test_repeated_headers_stay_repeated() -> None:
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Connection", "keep-alive"), ("Keep-Alive", "timeout=5")]
    assert to_caller(cookies, request_id="r1") == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Request-Id", "r1")]


def test_a_websocket_handshake_stays_whole() -> None:
    given = [
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "k"),
        ("Sec-WebSocket-Protocol", "p"),
    ]
    passed = sent(given, upgrade=True)
    assert (passed["Connection"], passed["Upgrade"]) == ("Upgrade", "websocket")
    assert (passed["Sec-WebSocket-Key"], passed["Sec-WebSocket-Protocol"]) == ("k", "p")


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
    pairs = to_caller([("Location", given)], request_id="r1", replica="10.0.0.7:20001", prefix=prefix)
    assert pairs[0] == ("Location", passed)


@pytest.mark.parametrize(
    "host", ["", "a.example.com", "a.example.com:8000", "127.0.0.1:80", "[::1]:80", "xn--bcher-kva.example"]
)
def test_hosts(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host", ["a b", "a/b", "a\\b", "a@b", "a?b", "a#b", 'a"b', "a<b", "a,b", "\xe9", "a\n", "x" * 256]
)
def test_what_is_no_host(host: str) -> None:
    assert not is_host(host)
