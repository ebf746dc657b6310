"""What a head means here: where it leads, what the replica is told, what was shown. Worked out once for requests that are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.appproxy.domain import fields
from headrace.appproxy.domain.cors import asks_first
from headrace.appproxy.domain.fields import Asked
from headrace.appproxy.domain.forwarded import came_from
from headrace.appproxy.domain.identity import holds_ours
from headrace.appproxy.domain.subprotocols import offered
from headrace.appproxy.traffic.destination import find
from headrace.common.contracts.problems import Unauthenticated

if TYPE_CHECKING:
    from headrace.appproxy.domain.cors import CorsPolicy
    from headrace.appproxy.framing.heads import RequestHead
    from headrace.appproxy.serving import Serving
    from headrace.appproxy.traffic.exchange import Exchange


class Way:
    """Holds for one caller's connection, as long as no new table comes (`era`)."""

    __slots__ = (
        "asked",
        "caller",
        "cors",
        "era",
        "fields",
        "prefix",
        "preflight",
        "request_id",
        "serving",
        "shown",
        "subprotocol",
        "target",
        "upgrade",
    )
    era: object
    serving: Serving | None
    """None for the fleet's base URL until the model is known."""
    target: bytes
    """What the replica gets in the request line."""
    prefix: bytes
    """What the caller's path had before the target."""
    fields: bytes
    """What the replica gets as header fields, up to its X-Request-Id."""
    request_id: bytes
    """The caller's own, if it is taken over."""
    asked: Asked
    caller: str
    """The address that requests come from."""
    shown: bytes | None
    """The Authorization field."""
    upgrade: bool
    """Whether the caller asks for a WebSocket."""
    subprotocol: bytes
    """What it is told to be chosen where the replica chooses none: of a WebSocket whose token came as a subprotocol."""
    cors: bytes
    """What answers tell browsers of the page that asks; nothing where that is left to the replica."""
    preflight: bytes | None
    """None: this is no preflight request that the proxy answers; else what the answer allows: nothing for pages that may not call."""


def way_of(exchange: Exchange) -> Way:
    """Return the way of the request's head. Raises Problem, and gives the request its id and its caller even then."""
    parts, head, line = exchange.parts, exchange.head, exchange.line
    way = Way()
    way.era = parts.servings.era
    passing, way.asked = fields.request_fields(head)
    given = way.asked.get(fields.REQUEST_ID)
    way.request_id = given[0] if given and fields.is_request_id(given[0]) else b""
    exchange.request_id = way.request_id or parts.new_id()
    way.caller = line.address
    if line.trusted:
        way.caller = exchange.caller = came_from(
            line.address, way.asked.get(fields.CHAIN, ()), parts.bounds.trusted_peers
        )
    destination, way.target = find(parts, head, line.door.own_port)
    way.serving, way.prefix = destination.serving, destination.prefix
    way.cors, way.preflight = b"", None
    policy = parts.fleet_cors if way.serving is None else way.serving.entry.cors
    if policy is not None:
        way.cors, way.preflight = _cors(policy, head)
        exchange.cors = way.cors
    way.upgrade = _wants_websocket(head)
    offer = offered(way.asked.get(fields.SUBPROTOCOLS, ()))
    way.subprotocol = offer.answer if way.upgrade else b""
    way.shown = _authorization(way.asked) or _api_key(way.asked) or (offer.shown if way.upgrade else None)
    passing += _own_keys(way.asked)
    if offer.passing:
        passing.append(offer.passing)
    if line.trusted:
        peer, forwarded = _believed(line.address, way.asked, destination.host, way.prefix)
    else:
        peer, forwarded = line.peer, destination.forwarded
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n" if way.upgrade else b""
    trace = b"" if parts.tracer.traces else parts.tracer.begin(exchange, way.asked)
    passing.append(b"")  # the last one's CRLF
    way.fields = b"".join((b"\r\n".join(passing), peer, forwarded, trace, upgrade, b"X-Request-Id: "))
    return way


def _cors(policy: CorsPolicy, head: RequestHead) -> tuple[bytes, bytes | None]:
    origin = fields.only(head, b"origin")
    if not (origin and asks_first(head)):
        return policy.answer_fields(origin), None
    asked = fields.field(head, b"access-control-request-headers")
    return policy.answer_fields(origin), policy.preflight_fields(origin, asked)


def _authorization(asked: Asked) -> bytes | None:
    values = asked.get(fields.AUTHORIZATION)
    if values is None:
        return None
    if len(values) > 1:
        raise Unauthenticated("allowed is one Authorization field", reason="malformed-token")
    return values[0]


def _api_key(asked: Asked) -> bytes | None:
    """Return what Anthropic's and Azure's clients show, as they would by Authorization. Only what is ours: others' pass."""
    if fields.X_API_KEY not in asked and fields.API_KEY not in asked:
        return None
    keys = [*asked.get(fields.X_API_KEY, ()), *asked.get(fields.API_KEY, ())]
    return b"Bearer " + keys[0] if len(keys) == 1 and holds_ours(keys[0]) else None


def _own_keys(asked: Asked) -> list[bytes]:
    """Return the fields with callers' API keys that are none of ours."""
    if fields.X_API_KEY not in asked and fields.API_KEY not in asked:
        return []
    named = ((b"X-Api-Key: ", asked.get(fields.X_API_KEY, ())), (b"Api-Key: ", asked.get(fields.API_KEY, ())))
    return [name + key for name, keys in named for key in keys if not holds_ours(key)]


def _wants_websocket(head: RequestHead) -> bool:
    return head.upgrade == b"websocket" and b"upgrade" in head.connection and head.method == b"GET" and head.minor == 1


def _believed(address: str, asked: Asked, host: bytes, prefix: bytes) -> tuple[bytes, bytes]:
    """Return the fields of a request that came through a proxy of one's own."""
    chain = b", ".join([*asked.get(fields.CHAIN, ()), address.encode()])
    proto = asked.get(fields.PROTO, [b"http"])[0]
    named = asked.get(fields.FORWARDED_HOST, [host])[0]
    peer = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (chain, proto)
    return peer, fields.forwarded_fields(named, prefix)
