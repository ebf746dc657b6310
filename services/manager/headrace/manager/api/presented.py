"""What a request presents of who sends it: header, cookies, and what a browser says of the page."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.login_cookie import CONSOLE_HEADER, PLAIN_COOKIE, SECURE_COOKIE
from headrace.manager.domain.console import BrowserRequest
from headrace.manager.usecases.auth import Presented


def presented(request: web.Request) -> Presented:
    """Return what the request presents."""
    headers = request.headers
    fields = headers.getall("Cookie", ())
    return Presented(
        source_address=request.remote or "",
        browser=BrowserRequest(
            method=request.method,
            scheme="https" if request.secure else "http",
            host=headers.get("Host", ""),
            origin=headers.get("Origin"),
            fetch_site=headers.get("Sec-Fetch-Site"),
            marked=headers.get(CONSOLE_HEADER) == "1",
        ),
        authorization=headers.get("Authorization"),
        secure_cookies=_values(fields, SECURE_COOKIE),
        plain_cookies=_values(fields, PLAIN_COOKIE),
        user_agent=headers.get("User-Agent", "").encode("ascii", "replace").decode(),
    )


def _values(fields: tuple[str, ...] | list[str], name: str) -> tuple[str, ...]:
    """Return all values of a cookie: the libraries' readers keep one of several."""
    pairs = (pair.partition("=") for field in fields for pair in field.split(";"))
    return tuple(value.strip() for key, _, value in pairs if key.strip() == name)
