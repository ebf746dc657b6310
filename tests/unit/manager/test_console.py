"""Which requests of browsers count as the console's, and where its cookie may be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.common.contracts.login_cookie import PLAIN_COOKIE, SECURE_COOKIE
from headrace.manager.domain.console import BrowserRequest, ConsolePolicy

POLICY = ConsolePolicy("https://ml.example.com", "https://ml.example.com:8443", frozenset({"lab.lan"}))
READ = BrowserRequest("GET", "https", "ml.example.com", fetch_site="same-origin")
WRITE = replace(READ, method="POST", origin="https://ml.example.com", marked=True)
LOCAL = BrowserRequest("POST", "http", "127.0.0.1:8080", "http://127.0.0.1:8080", "same-origin", marked=True)


@pytest.mark.parametrize(
    "request_",
    [
        READ,
        replace(READ, fetch_site=None),
        replace(READ, method="HEAD"),
        WRITE,
        replace(WRITE, fetch_site=None),
        replace(WRITE, origin="HTTPS://ML.example.com:443"),
        replace(WRITE, scheme="http", host="10.0.0.7:8080"),  # something in front ends TLS
        LOCAL,
        replace(LOCAL, host="[::1]:8080", origin="http://[::1]:8080"),
    ],
)
def test_the_console_s_own_requests_count(request_: BrowserRequest) -> None:
    assert POLICY.refusal(request_) is None


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (replace(READ, fetch_site="same-site"), "Sec-Fetch-Site: found same-site; allowed: same-origin"),
        (replace(READ, fetch_site="cross-site"), "Sec-Fetch-Site: found cross-site"),
        (replace(READ, fetch_site="none"), "Sec-Fetch-Site: found none"),
        (replace(WRITE, marked=False), "X-Headrace-Console: found nothing; allowed: 1"),
        (replace(WRITE, origin=None), "Origin: found nothing"),
        (replace(WRITE, origin="null"), "Origin: found null"),
        (replace(WRITE, origin="http://ml.example.com"), "Origin: found http://ml.example.com"),
        (replace(WRITE, origin="https://ml.example.com:8443"), "Origin: found https://ml.example.com:8443"),
        (replace(WRITE, origin="https://ml.example.com.evil.example"), "Origin: found"),
        (replace(WRITE, origin="https://evil.example#https://ml.example.com"), "Origin: found"),
        (replace(WRITE, origin="https://["), "Origin: found"),
        (replace(LOCAL, origin="http://127.0.0.1:8000"), "Origin: found http://127.0.0.1:8000"),
        (replace(WRITE, method="DELETE", marked=False), "X-Headrace-Console"),
        (replace(WRITE, method="PATCH", origin="https://other.example"), "Origin"),
    ],
)
def test_those_of_other_pages_do_not_and_the_refusal_says_why(request_: BrowserRequest, why: str) -> None:
    assert (POLICY.refusal(request_) or "").startswith(why)


def test_no_cookie_counts_where_models_output_has_the_console_s_origin() -> None:
    shared = ConsolePolicy("https://ml.example.com", "https://ml.example.com:443")
    assert "public_proxy_url has the console's origin" in (shared.refusal(READ) or "")
    assert shared.shared_origin() == "https://ml.example.com"
    assert POLICY.shared_origin() is None
    assert ConsolePolicy("", "http://127.0.0.1:8000").shared_origin() is None
    assert ConsolePolicy("", "http://127.0.0.1:8080").refusal(LOCAL) is not None, "by the host that the browser names"


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (WRITE, (SECURE_COOKIE,)),
        (replace(WRITE, scheme="http", host="10.0.0.7:8080"), (SECURE_COOKIE,)),
        (LOCAL, (SECURE_COOKIE, PLAIN_COOKIE)),
        (replace(LOCAL, host="localhost:8080", origin="http://localhost:8080"), (SECURE_COOKIE, PLAIN_COOKIE)),
        (replace(LOCAL, host="lab.lan", origin="http://lab.lan"), (PLAIN_COOKIE,)),
        (replace(LOCAL, host="10.0.0.7:8080", origin="http://10.0.0.7:8080"), ()),
        (replace(READ, origin=None), (SECURE_COOKIE,)),
        (replace(LOCAL, origin=None), (SECURE_COOKIE, PLAIN_COOKIE)),
        (replace(LOCAL, host="127.0.0.1.evil.example", origin="http://127.0.0.1.evil.example"), ()),
    ],
)
def test_the_cookie_is_secure_but_where_a_browser_takes_none(request_: BrowserRequest, names: tuple[str, ...]) -> None:
    assert POLICY.cookies(request_) == names


def test_the_plain_cookie_counts_only_where_it_is_given() -> None:
    assert POLICY.plain_counts(LOCAL)
    assert POLICY.plain_counts(replace(LOCAL, host="LAB.lan:80"))
    assert not POLICY.plain_counts(replace(LOCAL, host="10.0.0.7:8080"))
    assert not POLICY.plain_counts(READ)
    assert not POLICY.plain_counts(replace(LOCAL, scheme="https"))
    assert not POLICY.plain_counts(replace(LOCAL, host="["))
