"""A browser's preflight request (CORS): answered here, before anything is asked of the caller, since browsers show no token with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.appproxy.domain.fields import field
from headrace.appproxy.traffic.answers import no_content
from headrace.common.contracts.problems import Forbidden, TooManyRequests

if TYPE_CHECKING:
    from headrace.appproxy.serving import Serving
    from headrace.appproxy.traffic.exchange import Exchange

_LONGEST_SHOWN = 253


def answer(exchange: Exchange, serving: Serving | None, allowed: bytes) -> None:
    """Answer it, for a service or (None) for the fleet's base URL. `allowed`: what the page may, as header fields; nothing for one
    that may not call. Raises Forbidden: a browser reads a refusal like an answer that allows nothing, and people read why."""
    exchange.fleet = serving is None
    _meter(exchange)
    if not allowed:
        setting = "the app-proxy's fleet_cors_origins" if serving is None else "the service's cors.allow_origins"
        shown = field(exchange.head, b"origin")[:_LONGEST_SHOWN].decode("latin-1")
        raise Forbidden(f"pages of {shown} may not call: it is none of {setting}", reason="origin-not-allowed")
    exchange.status = 204
    if serving is None:
        exchange.parts.book.preflights += 1
    else:
        exchange.serving, exchange.found = serving, True
        serving.stats.preflights += 1
    exchange.own(no_content(allowed, request_id=exchange.request_id, closes=exchange.closes))


def _meter(exchange: Exchange) -> None:
    """Raise TooManyRequests where the address asks too often. A front of one's own that names nobody behind it is not bound."""
    if exchange.line.trusted and exchange.caller == exchange.line.address:
        return
    verdict = exchange.parts.preflights.judge(exchange.caller)
    if not verdict.allowed:
        text = "this address sends more preflight requests a second than it may"
        raise TooManyRequests(text, retry_after_s=verdict.retry_after_s, reason="preflight-rate")
