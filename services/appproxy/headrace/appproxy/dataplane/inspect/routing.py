"""Request routing: the service that an address names, by host or path, and the target that its replica gets.

Nothing is decoded or normalised: `..`, encoded slashes and double slashes reach the replica as they were sent, so that the
proxy and the replica can never disagree about a path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from headrace.common.contracts.ids import SLUG

_NAME = re.compile(SLUG.removesuffix("$") + r"\Z")
_ABSOLUTE = re.compile(r"^(?i:https?)://([^/?#]*)(.*)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """Service name, and the request target that its replica gets."""

    name: str
    target: str
    """Origin form: begins with `/`, includes the query."""
    prefix: str
    """Prefix removed from the path (`/name`), or empty."""


def origin_form(target: str, host: str) -> tuple[str, str]:
    """Return (target in origin form, host) for a request target; a target without such a form is returned unchanged.

    RFC 9112 section 3.2.2: the authority of an absolute target replaces the Host header. Only http and https are
    accepted, and no authority with userinfo, which is ambiguous (RFC 9110 section 4.2.4).
    """
    match = _ABSOLUTE.match(target)
    if match is None:
        return target, host
    authority, rest = match.groups()
    if "@" in authority or not authority:
        return target, host
    return (rest if rest.startswith("/") else f"/{rest}"), authority


def by_path(target: str) -> Address | None:
    """Return the address in `/<service>/rest?query`, or None if the first segment can be no service name.

    Segments that begin with `_` or `-` are reserved for the proxy: no service name begins so.
    """
    end = min((i for i in (target.find("/", 1), target.find("?")) if i >= 0), default=len(target))
    name, rest = target[1:end], target[end:]
    if not target.startswith("/") or not _NAME.match(name):
        return None
    return Address(name, rest if rest.startswith("/") else f"/{rest}", f"/{name}")


def by_host(target: str, host: str, domain: str | None) -> Address | None:
    """Return the address in `<service>.<domain>`, or None for another host. The target stays unchanged."""
    if not domain:
        return None
    bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    label, dot, parent = bare.lower().removesuffix(".").partition(".")
    if not dot or parent != domain.lower().strip(".") or not _NAME.match(label):
        return None
    return Address(label, target, "")


def locate(target: str, host: str, domain: str | None) -> Address | None:
    """Return the address of a request on the shared port: by host name if it matches, else by path."""
    return by_host(target, host, domain) or by_path(target)
