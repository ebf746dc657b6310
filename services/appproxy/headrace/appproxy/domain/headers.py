"""Which headers pass. Hop-by-hop ones end here (RFC 9110 section 7.6.1); identity is never taken from outside."""

from __future__ import annotations

import re
from collections.abc import Iterable

Pairs = list[tuple[str, str]]

_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "http2-settings",
})  # fmt: skip
_REDIRECTS = frozenset({"location", "content-location"})
_OURS = frozenset({"host", "expect", "via", "forwarded", "x-request-id", "x-real-ip", "authorization", "proxy"})
_IDENTITY = re.compile(
    r"^(x-forwarded-.*|x-headrace-.*|x-auth-request-.*|(x-)?remote-(user|email|groups|name)|x-(user|authenticated-user)|x-webauth-.*|(x-|true-|x-cluster-)client-ip|cf-connecting-ip)$"
)
_HOST = re.compile(r"^[A-Za-z0-9._~!$&'()*+;=%:\[\]-]{0,255}\Z")
REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}\Z")


def is_host(text: str) -> bool:
    """Return whether `text` can be a Host header (RFC 9112 section 3.2); replicas build addresses from it."""
    return _HOST.match(text) is not None


def _end_to_end(headers: Iterable[tuple[str, str]]) -> Pairs:
    pairs = list(headers)
    named = {
        option.strip().lower() for name, value in pairs if name.lower() == "connection" for option in value.split(",")
    }
    return [(name, value) for name, value in pairs if name.lower() not in _HOP_BY_HOP and name.lower() not in named]


def from_outside(name: str) -> bool:
    """Return whether this header says who the caller is, or where it came from: only the proxy may say that.

    Underscores count as hyphens, because CGI-like servers cannot tell them apart.
    """
    return _IDENTITY.match(name.lower().replace("_", "-")) is not None


def to_replica(
    headers: Iterable[tuple[str, str]],
    *,
    request_id: str,
    client_ip: str,
    scheme: str,
    host: str,
    prefix: str,
    authorization: str | None,
    upgrade: bool,
    trusted: bool,
) -> Pairs:
    """Return the request headers that the replica gets.

    `authorization`: what is left for the replica, None if it was for us. `upgrade`: keep a WebSocket handshake whole.
    `trusted`: what stands in front is ours, so its X-Forwarded-For, -Proto and -Host are believed.
    """
    given = list(headers)
    pairs = [
        (name, value)
        for name, value in _end_to_end(given)
        if name.lower().replace("_", "-") not in _OURS and not from_outside(name)
    ]
    before = {name.lower(): value for name, value in given} if trusted else {}
    chain = before.get("x-forwarded-for")
    pairs += [
        ("X-Forwarded-For", f"{chain}, {client_ip}" if chain else client_ip),
        ("X-Forwarded-Proto", before.get("x-forwarded-proto", scheme)),
        ("X-Forwarded-Host", before.get("x-forwarded-host", host)),
        ("X-Request-Id", request_id),
        ("Via", ", ".join([*(v for n, v in given if n.lower() == "via"), "1.1 headrace"])),
    ]
    if prefix:
        pairs.append(("X-Forwarded-Prefix", prefix))
    if authorization is not None:
        pairs.append(("Authorization", authorization))
    if upgrade:
        pairs += [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    return pairs


def to_caller(
    headers: Iterable[tuple[str, str]], *, request_id: str, upgrade: bool = False, replica: str = "", prefix: str = ""
) -> Pairs:
    """Return the response headers that the caller gets: all that the replica sent, without hop-by-hop ones.

    A redirect to the `replica` itself (`host:port`), or to a path of it, leads below the `prefix` that the caller used.
    """
    pairs = [
        (name, _outside(value, replica, prefix) if name.lower() in _REDIRECTS else value)
        for name, value in _end_to_end(headers)
        if name.lower() != "x-request-id"
    ]
    if upgrade:
        pairs += [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    return [*pairs, ("X-Request-Id", request_id)]


def _outside(address: str, replica: str, prefix: str) -> str:
    """Return a redirect's address as the caller can use it; one that leads elsewhere stays as it is."""
    own = f"http://{replica}"
    if replica and address.lower().startswith(own.lower()) and address[len(own) :][:1] in {"", "/", "?", "#"}:
        path = address[len(own) :]
        path = path if path.startswith("/") else f"/{path}"
        if path.startswith("//") and not prefix:
            return f"/.{path}"  # without a path before them, two slashes would begin a host
    elif address.startswith("/") and not address.startswith("//"):
        path = address
    else:
        return address
    inside = path == prefix or path.startswith((f"{prefix}/", f"{prefix}?", f"{prefix}#"))
    return path if inside else prefix + path
