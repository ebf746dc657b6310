"""Answers CORS preflight requests, before authentication, since browsers send no token with them."""

from __future__ import annotations

from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.headers.rewrite import field
from headrace.appproxy.dataplane.request.exchange import Exchange
from headrace.appproxy.dataplane.request.local_replies import no_content, problem_of
from headrace.common.contracts.reasons.proxy import ProxyReason

_LONGEST_SHOWN = 253


def answer(exchange: Exchange, backend: Backend | None, allowed: bytes) -> None:
    """Answer a CORS preflight for a service, or (None) for the fleet's base URL.

    `allowed`: the CORS fields; empty if the origin is not allowed, which raises Forbidden: browsers read a refusal like
    a response without permission, and people find the reason in it.
    """
    exchange.openai = backend is None
    _check_rate(exchange)
    if not allowed:
        setting = "the app-proxy's fleet_cors_origins" if backend is None else "the service's cors.allow_origins"
        page = field(exchange.head, b"origin")[:_LONGEST_SHOWN].decode("latin-1")
        raise problem_of(ProxyReason.ORIGIN_NOT_ALLOWED, f"pages of {page} may not call: it is none of {setting}")
    exchange.record.status = 204
    if backend is None:
        exchange.context.stats.preflights += 1
    else:
        exchange.backend, exchange.found, exchange.record.service = backend, True, backend.name
        backend.stats.preflights += 1
    exchange.reply(no_content(allowed, request_id=exchange.record.request_id, closes=exchange.closes))


def _check_rate(exchange: Exchange) -> None:
    """Raise TooManyRequests if the client address exceeds the preflight rate.

    A trusted proxy that forwards no client address is not limited.
    """
    if exchange.downstream.trusted and exchange.record.client_address == exchange.downstream.address:
        return
    verdict = exchange.context.preflights.judge(exchange.record.client_address)
    if not verdict.allowed:
        text = "this address sends more preflight requests a second than it may"
        raise problem_of(ProxyReason.PREFLIGHT_RATE, text, retry_after_s=verdict.retry_after_s)
