"""Resolves the destination of a request by port, host name or path."""

from __future__ import annotations

from typing import Final

from headrace.appproxy.dataplane.balancing.destination import Destination
from headrace.appproxy.dataplane.headers.rewrite import is_host
from headrace.appproxy.dataplane.http1.heads import RequestHead
from headrace.appproxy.dataplane.inspect.routing import locate, origin_form
from headrace.appproxy.dataplane.request.context import WorkerContext
from headrace.appproxy.dataplane.request.local_replies import problem_of
from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.reasons.proxy import ProxyReason

FLEET: Final = "/v1"
_QUERY: Final = 0x3F
_SLASH: Final = 0x2F


def resolve_destination(context: WorkerContext, head: RequestHead, own_port: int | None) -> tuple[Destination, bytes]:
    """Return the destination by port, host name or path, and the target for its replica, in origin form.

    Raises InvalidRequest, MethodNotAllowed or NotFound.
    """
    segment = _first_segment(head) if own_port is None else b""
    if segment:
        known = context.backends.destinations.get((segment, head.host))
        if known is not None:
            return known, head.target[len(known.prefix) :]
    raw = head.target.decode("latin-1")
    target, host = origin_form(raw, head.host.decode("latin-1"))
    if (
        not target.startswith("/")
        or not target.isascii()
        or "#" in target
        or any(c <= " " or c == "\x7f" for c in target)
    ):
        raise InvalidRequest("the request target is not a path", reason=ProxyReason.INVALID_REQUEST)
    if not is_host(host.encode("latin-1")):
        raise InvalidRequest("the Host header is not a host", reason=ProxyReason.INVALID_REQUEST)
    if own_port is not None:
        backend = context.backends.by_port(own_port)
        if backend is None:
            raise problem_of(ProxyReason.UNKNOWN_SERVICE, "no service has this address")
        return Destination(backend, b"", host.encode("latin-1")), target.encode()
    address = locate(target, host, context.proxy_limits.domain)
    if address is not None and address.name == FLEET[1:] and address.prefix:
        return Destination(None, b"", host.encode("latin-1")), target.encode()
    backend = context.backends.by_name(address.name) if address else None
    if backend is None or address is None:
        raise problem_of(ProxyReason.UNKNOWN_SERVICE, "no service has this address")
    found = Destination(backend, address.prefix.encode(), host.encode("latin-1"))
    if segment:
        context.backends.destinations.put((segment, head.host), found)
    return found, address.target.encode()


def _first_segment(head: RequestHead) -> bytes:
    """Return `/<first segment>` of a path with more than one segment, else an empty value: the place of a service's
    name.
    """
    target = head.target
    if not head.plain_target:
        return b""
    for at in range(1, len(target)):  # compiled, it is over in a few steps where `split` takes hundreds
        byte = target[at]
        if byte == _SLASH:
            return target[:at]
        if byte == _QUERY:
            break
    return b""
