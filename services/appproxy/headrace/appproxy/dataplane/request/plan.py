"""Request plan: routing and policy decisions for a head, cached for requests with the same head until the next route
table.
"""

from __future__ import annotations

from typing import Final

from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.headers import rewrite
from headrace.appproxy.dataplane.headers.cors import CorsPolicy, is_preflight
from headrace.appproxy.dataplane.headers.forwarded import client_address
from headrace.appproxy.dataplane.headers.identity import holds_credential
from headrace.appproxy.dataplane.headers.rewrite import ConsumedFields
from headrace.appproxy.dataplane.headers.subprotocols import parse_offer
from headrace.appproxy.dataplane.http1.heads import RequestHead
from headrace.appproxy.dataplane.request.context import WorkerContext
from headrace.appproxy.dataplane.request.downstream import DownstreamConnection
from headrace.appproxy.dataplane.request.resolve import resolve_destination
from headrace.appproxy.dataplane.telemetry.record import RequestRecord
from headrace.common.contracts.problems import Unauthenticated
from headrace.common.contracts.reasons.proxy import ProxyReason


class RequestPlan:
    """Cached routing and policy decisions for one request head on one connection, valid for one `table_version`."""

    __slots__ = (
        "authorization",
        "backend",
        "client_address",
        "consumed",
        "cors",
        "fields",
        "prefix",
        "preflight",
        "request_id",
        "subprotocol",
        "table_version",
        "target",
        "upgrade",
    )
    table_version: object
    backend: Backend | None
    """None at the fleet's base URL until the model is known."""
    target: bytes
    """Request target for the replica."""
    prefix: bytes
    """Prefix of the caller's path before the target."""
    fields: bytes
    """Header fields for the replica, up to its X-Request-Id."""
    request_id: bytes
    """The caller's own X-Request-Id, if accepted."""
    consumed: ConsumedFields
    client_address: str
    """Client address."""
    authorization: bytes | None
    """Value of Authorization."""
    upgrade: bool
    """True for a WebSocket upgrade."""
    subprotocol: bytes
    """Subprotocol to accept if the replica chooses none: of a WebSocket whose token came as a subprotocol."""
    cors: bytes
    """CORS fields of responses; empty if CORS is left to the replica."""
    preflight: bytes | None
    """None: not a CORS preflight that the proxy answers; else the fields of its answer: empty for pages that may not
    call."""

    def __init__(self) -> None:
        self.table_version = None
        self.backend = None
        self.target = self.prefix = self.fields = self.request_id = self.subprotocol = self.cors = b""
        self.consumed = {}
        self.client_address = ""
        self.authorization = self.preflight = None
        self.upgrade = False


NO_PLAN: Final = RequestPlan()
"""Plan of a request whose head was not examined."""


def fill_plan(
    plan: RequestPlan,
    context: WorkerContext,
    downstream: DownstreamConnection,
    head: RequestHead,
    record: RequestRecord,
) -> None:
    """Compute the plan of a request head. Raises Problem; the request's id and caller, and the plan's CORS fields, are
    set even then.
    """
    plan.table_version = context.backends.table_version
    forwarded_lines, plan.consumed = rewrite.rewrite_request(head)
    given = plan.consumed.get(rewrite.REQUEST_ID)
    plan.request_id = given[0] if given and rewrite.is_request_id(given[0]) else b""
    record.request_id = plan.request_id or context.new_request_id()
    plan.client_address = downstream.address
    if downstream.trusted:
        plan.client_address = record.client_address = client_address(
            downstream.address, plan.consumed.get(rewrite.CHAIN, ()), context.proxy_limits.trusted_peers
        )
    destination, plan.target = resolve_destination(context, head, downstream.listener.own_port)
    plan.backend, plan.prefix = destination.backend, destination.prefix
    policy = context.openai_cors if plan.backend is None else plan.backend.entry.cors
    if policy is not None:
        plan.cors, plan.preflight = _cors(policy, head)
    plan.upgrade = _wants_websocket(head)
    offer = parse_offer(plan.consumed.get(rewrite.SUBPROTOCOLS, ()))
    plan.subprotocol = offer.answer if plan.upgrade else b""
    plan.authorization = (
        _authorization(plan.consumed) or _api_key(plan.consumed) or (offer.authorization if plan.upgrade else None)
    )
    forwarded_lines += _other_api_keys(plan.consumed)
    if offer.forwarded:
        forwarded_lines.append(offer.forwarded)
    if downstream.trusted:
        peer, forwarded = _trusted_forwarded(downstream.address, plan.consumed, destination.host, plan.prefix)
    else:
        peer, forwarded = downstream.forwarded_fields, destination.forwarded
    own = peer + forwarded
    if not context.traces:
        own += context.tracer.begin(record, plan.consumed)
    if plan.upgrade:
        own += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    forwarded_lines.append(own + b"X-Request-Id: ")
    plan.fields = b"\r\n".join(forwarded_lines)


def _cors(policy: CorsPolicy, head: RequestHead) -> tuple[bytes, bytes | None]:
    origin = rewrite.single_field(head, b"origin")
    if not (origin and is_preflight(head)):
        return policy.answer_fields(origin), None
    consumed = rewrite.field(head, b"access-control-request-headers")
    return policy.answer_fields(origin), policy.preflight_fields(origin, consumed)


def _authorization(consumed: ConsumedFields) -> bytes | None:
    values = consumed.get(rewrite.AUTHORIZATION)
    if values is None:
        return None
    if len(values) > 1:
        raise Unauthenticated("allowed is one Authorization field", reason=ProxyReason.MALFORMED_TOKEN)
    return values[0]


def _api_key(consumed: ConsumedFields) -> bytes | None:
    """Return the Authorization value for the api-key fields of Anthropic's and Azure's clients; only for keys of this
    installation.
    """
    if rewrite.X_API_KEY not in consumed and rewrite.API_KEY not in consumed:
        return None
    keys = [*consumed.get(rewrite.X_API_KEY, ()), *consumed.get(rewrite.API_KEY, ())]
    return b"Bearer " + keys[0] if len(keys) == 1 and holds_credential(keys[0]) else None


def _other_api_keys(consumed: ConsumedFields) -> list[bytes]:
    """Return the api-key fields without credentials of this installation."""
    if rewrite.X_API_KEY not in consumed and rewrite.API_KEY not in consumed:
        return []
    named = ((b"X-Api-Key: ", consumed.get(rewrite.X_API_KEY, ())), (b"Api-Key: ", consumed.get(rewrite.API_KEY, ())))
    return [name + key for name, keys in named for key in keys if not holds_credential(key)]


def _wants_websocket(head: RequestHead) -> bool:
    return head.upgrade == b"websocket" and b"upgrade" in head.connection and head.method == b"GET" and head.minor == 1


def _trusted_forwarded(address: str, consumed: ConsumedFields, host: bytes, prefix: bytes) -> tuple[bytes, bytes]:
    """Return the X-Forwarded-* fields of a request from a trusted proxy."""
    chain = b", ".join([*consumed.get(rewrite.CHAIN, ()), address.encode()])
    proto = consumed.get(rewrite.PROTO, [b"http"])[0]
    named = consumed.get(rewrite.FORWARDED_HOST, [host])[0]
    peer = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (chain, proto)
    return peer, rewrite.forwarded_fields(named, prefix)
