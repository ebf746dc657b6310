"""The way in: which service, who calls, what the body's head says, what the caller's limits allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.appproxy.domain.rates import counts_tokens
from headrace.appproxy.traffic import fleet, preflight
from headrace.appproxy.traffic.outgoing import Outgoing
from headrace.appproxy.traffic.way import Way, way_of
from headrace.common.contracts.problems import Unavailable

if TYPE_CHECKING:
    from headrace.appproxy.serving import Serving
    from headrace.appproxy.traffic.exchange import Exchange


def enter(exchange: Exchange) -> None:
    """Take the first steps. Raises Problem."""
    parts, head = exchange.parts, exchange.head
    way: Way | None = head.way
    if way is not None and way.era is parts.servings.era:
        exchange.request_id = way.request_id or parts.new_id()
        exchange.caller = way.caller
    else:
        way = head.way = way_of(exchange)
    exchange.way = way
    exchange.fields = way.fields + exchange.request_id + b"\r\n"
    if parts.tracer.traces:
        exchange.fields += parts.tracer.begin(exchange, way.asked)
    if way.cors:
        exchange.cors = way.cors
        if way.preflight is not None:
            preflight.answer(exchange, way.serving, way.preflight)
            return
    if parts.stopping:
        raise Unavailable("this app-proxy is stopping", reason="shutting-down")
    if len(parts.open) > parts.bounds.max_open_requests:
        problem = Unavailable("this app-proxy has too many open requests", reason="proxy-full")
        problem.headers = {"Retry-After": "1"}
        raise problem
    if head.length:
        bounds = parts.bounds
        body = exchange.body = Outgoing(head.length, limit=bounds.max_body_bytes, keep=bounds.replay_bytes)
        body.came(exchange.early, forget=False)
        exchange.early = b""
    if way.serving is None:
        fleet.enter(exchange, way.shown)
    else:
        enter_service(exchange, way.serving, way.shown)


def enter_service(exchange: Exchange, serving: Serving, shown: bytes | None) -> None:
    """The service is known: let the caller in. Raises Problem."""
    parts = exchange.parts
    who = exchange.who = parts.gate.check(serving.entry, shown, parts.epoch())
    exchange.serving, exchange.found = serving, True
    if who.name is not None:
        exchange.fields += b"X-Forwarded-User: " + who.name + b"\r\n"
    if who.forward_authorization is not None:
        exchange.fields += b"Authorization: " + who.forward_authorization + b"\r\n"
    if exchange.body is not None and (most := serving.max_body_bytes) is not None:
        exchange.body.limit_to(most)
    if who.limits is None and not serving.picker.binds:
        exchange.admit()
        return
    counts = counts_tokens(who.limits)
    if serving.picker.reads or counts:
        wants = serving.picker.reads | {"max_tokens"} if counts else serving.picker.reads
        _read_head(exchange, wants, serving.picker.prompt_bytes, counts=counts)
    else:
        _bind(exchange, None, counts=counts)


def _read_head(exchange: Exchange, wants: frozenset[str], prompt_bytes: int, *, counts: bool) -> None:
    fleet.read_head(exchange, wants, prompt_bytes, lambda found: _bind(exchange, found, counts=counts))


def _bind(exchange: Exchange, found: fleet.Head | None, *, counts: bool) -> None:
    exchange.key = exchange.serving.picker.key_of(exchange.head, found)
    limits = exchange.who.limits if exchange.who is not None else None
    if limits is None:
        exchange.admit()
    else:
        exchange.reserve(limits, fleet.tokens_of(exchange, found) if counts else 0)
