"""Which service a request is for, what its replica sees of the address, and whether the fleet's base URL was used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.appproxy.domain.fields import forwarded_fields, is_host
from headrace.appproxy.domain.routing import locate, origin_form
from headrace.common.contracts.problems import InvalidRequest, NotFound

if TYPE_CHECKING:
    from headrace.appproxy.framing.heads import RequestHead
    from headrace.appproxy.serving import Serving
    from headrace.appproxy.traffic.parts import Parts

FLEET = "/v1"


@dataclass(slots=True)
class Destination:
    """Where a request goes. `serving` is None for the fleet's base URL until the model is known."""

    serving: Serving | None
    target: bytes
    """Origin form."""
    prefix: bytes
    """What was taken off the path."""
    host: bytes
    """As the caller named it."""
    forwarded: bytes = b""
    """The fields that tell the replica of host and prefix."""

    def __post_init__(self) -> None:
        self.forwarded = forwarded_fields(self.host, self.prefix)


def find(parts: Parts, head: RequestHead, own_port: int | None) -> Destination:
    """Return the destination by port, host name or path. Raises InvalidRequest, MethodNotAllowed or NotFound."""
    if own_port is None and (known := parts.servings.destinations.get((head.target, head.host))) is not None:
        return known
    raw = head.target.decode("latin-1")
    target, host = origin_form(raw, head.host.decode("latin-1"))
    if (
        not target.startswith("/")
        or not target.isascii()
        or "#" in target
        or any(c <= " " or c == "\x7f" for c in target)
    ):
        raise InvalidRequest("the request target is not a path")
    if not is_host(host.encode("latin-1")):
        raise InvalidRequest("the Host header is not a host")
    if own_port is not None:
        serving = parts.servings.by_port(own_port)
        if serving is None:
            raise NotFound("no service has this address", reason="unknown-service")
        return Destination(serving, target.encode(), b"", host.encode("latin-1"))
    address = locate(target, host, parts.bounds.domain)
    if address is not None and address.name == FLEET[1:] and address.prefix:
        return Destination(None, target.encode(), b"", host.encode("latin-1"))
    serving = parts.servings.by_name(address.name) if address else None
    if serving is None or address is None:
        raise NotFound("no service has this address", reason="unknown-service")
    found = Destination(serving, address.target.encode(), address.prefix.encode(), host.encode("latin-1"))
    parts.servings.destinations.put((head.target, head.host), found)
    return found
