"""CORS policy (the Fetch standard, section 3.2): the fields that tell browsers which pages may call, and read answers."""

from __future__ import annotations

import re
from typing import Final

from headrace.appproxy.dataplane.headers.rewrite import field
from headrace.appproxy.dataplane.http1.heads import RequestHead
from headrace.common.contracts.cors import EVERY, Cors

_METHODS: Final = b"Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
_OWN: Final = (
    "X-Request-Id",
    "Retry-After",
    "Retry-After-Ms",
    "X-Headrace-Limits",
    *(f"X-RateLimit-{what}-{of}" for of in ("Requests", "Tokens") for what in ("Limit", "Remaining", "Reset")),
)
"""Fields that the proxy itself adds to responses."""
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}\Z")
_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]+\Z")
_VARY: Final = b"Vary: Origin\r\n"


class CorsPolicy:
    """CORS policy of a service, or of the fleet's base URL, as prepared header fields with their CRLF."""

    __slots__ = ("_answer_fields", "_below", "_every", "_headers", "_max_age", "_named")

    def __init__(self, cors: Cors) -> None:
        origins = cors.allow_origins
        self._every = EVERY in origins
        self._named = frozenset(origin for origin in origins if "*" not in origin)
        self._below = tuple(origin.split("*", 1) for origin in origins if "://*." in origin)
        self._headers = ", ".join(cors.allow_headers).encode()
        self._max_age = b"Access-Control-Max-Age: %d\r\n" % cors.max_age_s
        credentials = b"Access-Control-Allow-Credentials: true\r\n" if cors.allow_credentials else b""
        exposed = ", ".join(dict.fromkeys((*_OWN, *cors.expose_headers))).encode()
        self._answer_fields = (credentials, b"Access-Control-Expose-Headers: " + exposed + b"\r\n")

    def allows(self, origin: bytes) -> bool:
        """Return True if pages of this origin may call. An empty value is no origin."""
        text = origin.decode("latin-1")
        return bool(text) and (
            self._every or text in self._named or any(_is_below(text, *ends) for ends in self._below)
        )

    def answer_fields(self, origin: bytes) -> bytes:
        """Return the CORS fields of every response to a request with this Origin (empty: none); never empty.

        The response depends on the origin, and `Vary` tells caches so, unless it is the same for all.
        """
        credentials, exposed = self._answer_fields
        if self._every:
            return b"Access-Control-Allow-Origin: *\r\n" + exposed
        if not self.allows(origin):
            return _VARY
        return b"Access-Control-Allow-Origin: " + origin + b"\r\n" + _VARY + credentials + exposed

    def preflight_fields(self, origin: bytes, asked: bytes) -> bytes:
        """Return the fields of the response to a preflight request; empty if the origin is not allowed.

        asked: the value of Access-Control-Request-Headers.
        """
        if not self.allows(origin):
            return b""
        headers = self._headers or (asked if _NAMES.match(asked) else b"")
        allowed = b"Access-Control-Allow-Headers: " + headers + b"\r\n" if headers else b""
        to = b"*\r\n" if self._every else origin + b"\r\n" + _VARY + self._answer_fields[0]
        return b"Access-Control-Allow-Origin: " + to + _METHODS + allowed + self._max_age


def policy_of(cors: Cors) -> CorsPolicy | None:
    """Return the CORS policy of these settings, or None if no origin is set: then CORS is left to the replica."""
    return CorsPolicy(cors) if cors.allow_origins else None


def is_preflight(head: RequestHead) -> bool:
    """Return True for a CORS preflight request."""
    return head.method == b"OPTIONS" and bool(field(head, b"access-control-request-method"))


def _is_below(origin: str, before: str, after: str) -> bool:
    """Return True if the origin is one label below the pattern `https://*.example.com`."""
    middle = origin[len(before) : len(origin) - len(after)]
    return origin.startswith(before) and origin.endswith(after) and _LABEL.match(middle) is not None
