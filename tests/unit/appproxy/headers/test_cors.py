"""What browsers are told of pages that may call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.appproxy.dataplane.headers.cors import CorsPolicy, policy_of
from headrace.common.contracts.cors import Cors, CorsSettings

APP = b"https://app.example.com"


def policy(*origins: str, **more: Any) -> CorsPolicy:
    return CorsPolicy(Cors(allow_origins=origins, **more))


def told(fields: bytes) -> dict[str, str]:
    """The fields by name in lower case; each stands once."""
    assert fields.endswith(b"\r\n")
    pairs = [line.split(": ", 1) for line in fields.decode().removesuffix("\r\n").split("\r\n")]
    found = {name.lower(): value for name, value in pairs}
    assert len(found) == len(pairs)
    return found


def test_without_origins_there_is_no_policy() -> None:
    assert policy_of(Cors()) is None
    assert policy_of(Cors(max_age_s=60)) is None
    assert policy_of(Cors(allow_origins=("*",))) is not None


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example.com", True),
        ("http://app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://app.example.com.evil.test", False),
        ("https://evil-app.example.com", False),
        ("https://example.com", False),
        ("https://one.models.test:8443", True),
        ("https://models.test:8443", False),
        ("https://.models.test:8443", False),
        ("https://a.b.models.test:8443", False),
        ("https://one.models.test", False),
        ("https://evil/.models.test:8443", False),
        ("https://evil\r\nX: 1.models.test:8443", False),
        ("http://[::1]:3000", True),
        ("tauri://localhost", True),
        ("null", False),
        ("", False),
        ("*", False),
        ("https://*.models.test:8443", False),
        ("HTTPS://APP.EXAMPLE.COM", False),
    ],
)
def test_an_origin_is_one_of_those_that_are_named_and_no_other(origin: str, *, allowed: bool) -> None:
    one = policy("https://app.example.com", "https://*.models.test:8443", "http://[::1]:3000", "tauri://localhost")
    raw = origin.encode()
    assert one.allows(raw) is allowed
    assert (one.preflight_fields(raw, b"") != b"") is allowed
    assert told(one.answer_fields(raw)).get("access-control-allow-origin") == (origin if allowed else None)


@given(origin=st.binary(max_size=60))
def test_what_a_caller_says_is_told_back_only_if_it_is_an_origin_that_is_named(origin: bytes) -> None:
    one = policy("https://app.example.com", "https://*.example.com")
    assert one.allows(origin) == (b"Access-Control" in one.answer_fields(origin))
    assert not one.allows(origin) or (
        origin.startswith(b"https://") and origin.endswith(b".example.com") and b"\r" not in origin
    )


def test_answers_say_who_may_read_what_and_that_they_depend_on_the_origin() -> None:
    plain = told(policy("https://app.example.com").answer_fields(APP))
    assert (plain["access-control-allow-origin"], plain["vary"]) == ("https://app.example.com", "Origin")
    assert {"X-Request-Id", "Retry-After", "X-RateLimit-Remaining-Tokens"} <= set(
        plain["access-control-expose-headers"].split(", ")
    )
    assert "access-control-allow-credentials" not in plain
    more = policy("https://app.example.com", expose_headers=("X-Model", "Retry-After"), allow_credentials=True)
    seen = told(more.answer_fields(APP))
    assert seen["access-control-allow-credentials"] == "true"
    exposed = seen["access-control-expose-headers"].split(", ")
    assert exposed.count("Retry-After") == exposed.count("X-Model") == 1
    for origin in (b"", b"https://other.test"):
        assert told(more.answer_fields(origin)) == {"vary": "Origin"}, "caches know that others are told otherwise"


def test_what_is_the_same_for_all_origins_is_said_to_all() -> None:
    every = policy("*")
    assert every.answer_fields(b"") == every.answer_fields(b"https://any.test") == every.answer_fields(b"null")
    seen = told(every.answer_fields(b""))
    assert seen["access-control-allow-origin"] == "*"
    assert "vary" not in seen
    assert not every.allows(b""), "a preflight request has an origin"


def test_a_preflight_says_methods_headers_and_how_long_that_holds() -> None:
    seen = told(policy("https://app.example.com").preflight_fields(APP, b"authorization,content-type,x-stainless-os"))
    assert seen == {
        "access-control-allow-origin": "https://app.example.com",
        "vary": "Origin",
        "access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        "access-control-allow-headers": "authorization,content-type,x-stainless-os",
        "access-control-max-age": "600",
    }
    own = policy("https://*.example.com", allow_headers=("Authorization",), allow_credentials=True, max_age_s=0)
    seen = told(own.preflight_fields(APP, b"x-other"))
    assert (seen["access-control-allow-headers"], seen["access-control-max-age"]) == ("Authorization", "0")
    assert seen["access-control-allow-credentials"] == "true"
    assert "access-control-allow-headers" not in told(policy("*").preflight_fields(APP, b""))
    assert "access-control-allow-headers" not in told(policy("*").preflight_fields(APP, b'x"\\x'))


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com",
        "http://localhost:3000",
        "https://*.example.com",
        "https://*.example.com:8443",
        "*",
        "http://127.0.0.1:5173",
        "http://[::1]:3000",
        "tauri://localhost",
        "chrome-extension://abcdefghijklmnop",
        "http://a_b",
        "https://" + "x" * 245,
    ],
)
def test_origins_that_are_taken(origin: str) -> None:
    assert CorsSettings.model_validate({"allow_origins": [origin]}).allow_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "app.example.com",
        "https://app.example.com/",
        "https://app.example.com/x",
        "https://App.example.com",
        "HTTPS://app.example.com",
        "https://app.example.com:443",
        "http://localhost:80",
        "https://app.example.com:0",
        "https://app.example.com:65536",
        "https://app.example.com:08443",
        "https://*",
        "https://*example.com",
        "https://a.*.example.com",
        "*.example.com",
        "null",
        "https://",
        "https://app.example.com\r\nX: 1",
        "https://app.example.com\n",
        "https://user@app.example.com",
        "https://app..com",
        "https://é.test",
        "https://" + "x" * 246,
        "http://[::1]:80",
        "https://app.example.com:",
    ],
)
def test_origins_that_no_browser_sends_are_refused(origin: str) -> None:
    with pytest.raises(ValidationError):
        CorsSettings.model_validate({"allow_origins": [origin]})


@pytest.mark.parametrize(
    "origin", ["https://a.test\r\nX: 1", "https://a.test\n", "https://*", "*.a.test", "https://a.test/", ""]
)
def test_a_table_holds_nothing_that_could_break_out_of_a_field(origin: str) -> None:
    with pytest.raises(ValidationError):
        Cors.model_validate({"allow_origins": [origin]})


@pytest.mark.parametrize(
    "settings",
    [
        {"allow_origins": ["*", "https://app.example.com"]},
        {"allow_origins": ["https://a.test", "https://a.test"]},
        {"allow_origins": [f"https://{number}.test" for number in range(33)]},
        {"allow_headers": ["*"]},
        {"allow_headers": ["A", "A"]},
        {"allow_headers": ["a b"]},
        {"expose_headers": ["a\r\nb"]},
        {"expose_headers": ["x" * 101]},
        {"max_age_s": -1},
        {"max_age_s": 86_401},
        {"max_age_s": 1.5},
        {"max_age_s": True},
        {"allow_credentials": "yes"},
        {"allow_methods": ["GET"]},
        {"allow_origins": "https://a.test"},
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CorsSettings.model_validate(settings)
