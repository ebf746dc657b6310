"""The way in: which service, who calls, what the body's head says, what the caller's limits allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.appproxy.domain import fields
from headrace.appproxy.domain.fields import Asked
from headrace.appproxy.domain.rates import counts_tokens
from headrace.appproxy.traffic import fleet
from headrace.appproxy.traffic.destination import find
from headrace.appproxy.traffic.outgoing import Outgoing
from headrace.common.contracts.problems import Unauthenticated, Unavailable

if TYPE_CHECKING:
    from headrace.appproxy.serving import Serving
    from headrace.appproxy.traffic.exchange import Exchange


def enter(exchange: Exchange) -> None:
    """Take the first steps. Raises Problem."""
    parts, head = exchange.parts, exchange.head
    exchange.fields, asked = fields.request_fields(head)
    given = asked.get(fields.REQUEST_ID)
    exchange.request_id = given[0] if given and fields.is_request_id(given[0]) else parts.new_id()
    if parts.stopping:
        raise Unavailable("this app-proxy is stopping", reason="shutting-down")
    if len(parts.open) > parts.settings.max_open_requests:
        problem = Unavailable("this app-proxy has too many open requests", reason="proxy-full")
        problem.headers = {"Retry-After": "1"}
        raise problem
    if head.length:
        settings = parts.settings
        body = exchange.body = Outgoing(head.length, limit=settings.max_body_bytes, keep=settings.replay_bytes)
        body.came(exchange.early, forget=False)
        exchange.early = b""
    destination = find(parts, head, exchange.line.door.own_port)
    exchange.target = destination.target
    exchange.prefix = destination.prefix
    exchange.fields += _set_fields(exchange, asked, destination.host, destination.forwarded)
    if destination.serving is None:
        fleet.enter(exchange, authorization(asked))
    else:
        enter_service(exchange, destination.serving, authorization(asked))


def authorization(asked: Asked) -> bytes | None:
    """Return the one Authorization field. Raises Unauthenticated where there are several."""
    values = asked.get(fields.AUTHORIZATION)
    if values is None:
        return None
    if len(values) > 1:
        raise Unauthenticated("allowed is one Authorization field", reason="malformed-token")
    return values[0]


def _set_fields(exchange: Exchange, asked: Asked, host: bytes, forwarded: bytes) -> bytes:
    """Return the fields that the proxy sets: where the request came from, and its id."""
    line = exchange.line
    exchange.upgrade = (
        exchange.head.upgrade == b"websocket"
        and b"upgrade" in exchange.head.connection
        and exchange.head.method == b"GET"
        and exchange.head.minor == 1
    )
    if line.trusted:
        peer, forwarded = _believed(line.address, asked, host, exchange.prefix)
    else:
        peer = line.peer
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n" if exchange.upgrade else b""
    trace = exchange.parts.tracer.begin(exchange, asked)
    return b"".join((peer, forwarded, b"X-Request-Id: ", exchange.request_id, b"\r\n", trace, upgrade))


def _believed(address: str, asked: Asked, host: bytes, prefix: bytes) -> tuple[bytes, bytes]:
    """Return the fields of a request that came through a proxy of one's own."""
    chain = b", ".join([*asked.get(fields.CHAIN, ()), address.encode()])
    proto = asked.get(fields.PROTO, [b"http"])[0]
    named = asked.get(fields.FORWARDED_HOST, [host])[0]
    peer = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (chain, proto)
    return peer, fields.forwarded_fields(named, prefix)


def enter_service(exchange: Exchange, serving: Serving, shown: bytes | None) -> None:
    """The service is known: let the caller in. Raises Problem."""
    parts = exchange.parts
    who = exchange.who = parts.gate.check(serving.entry, shown, parts.epoch())
    exchange.serving, exchange.found = serving, True
    limits = serving.table.limits
    if who.name is not None:
        exchange.fields += b"X-Forwarded-User: " + who.name + b"\r\n"
    if who.forward_authorization is not None:
        exchange.fields += b"Authorization: " + who.forward_authorization + b"\r\n"
    if exchange.body is not None and limits.max_body_bytes is not None:
        exchange.body.limit_to(limits.max_body_bytes)
    counts = counts_tokens(who.limits)
    if who.limits is None and not serving.binds:
        exchange.admit()
    elif serving.reads or counts:
        wants = serving.reads | {"max_tokens"} if counts else serving.reads
        fleet.read_head(exchange, wants, serving.prompt_bytes, lambda found: _bind(exchange, found))
    else:
        _bind(exchange, None)


def _bind(exchange: Exchange, found: fleet.Head | None) -> None:
    exchange.key = exchange.serving.key_of(exchange, found)
    limits = exchange.who.limits if exchange.who is not None else None
    if limits is None:
        exchange.admit()
    else:
        exchange.reserve(limits, fleet.tokens_of(exchange, found) if counts_tokens(limits) else 0)
