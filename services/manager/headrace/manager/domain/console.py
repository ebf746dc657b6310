"""Whether a browser's request counts as one of the web console, and under which names it gets its cookie.

Cookies are not separated by port, and endpoints with models' output may be on the same host: `SameSite` does not keep
their pages from sending the cookie. What counts is where a page is from, as the browser says it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from headrace.common.contracts.login_cookie import CONSOLE_HEADER, PLAIN_COOKIE, SECURE_COOKIE

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


@dataclass(frozen=True)
class BrowserRequest:
    """What a browser says of a request besides what it asks for."""

    method: str
    scheme: str
    """As it arrived here, behind what terminates TLS too."""
    host: str
    """Field `Host`: with it, the console's own origin."""
    origin: str | None = None
    fetch_site: str | None = None
    """Field `Sec-Fetch-Site`; None: the browser is older than that."""
    marked: bool = False
    """Whether the console's header is there, which no page of another origin can set."""


@dataclass(frozen=True)
class ConsolePolicy:
    """Where the console is, and where it must not be."""

    public_url: str = ""
    proxy_url: str = ""
    insecure_hosts: frozenset[str] = frozenset()
    """Hosts at which it may be used without TLS, besides loopback."""

    def refusal(self, request: BrowserRequest) -> str | None:
        """Return why the request is not one of the console; None if it is."""
        origins = self._origins(request)
        if (shared := _origin(self.proxy_url)) in origins:
            return f"public_proxy_url has the console's origin, {shared}; allowed: another host or port, since models' output is there"
        if request.fetch_site not in {None, "same-origin"}:
            return f"Sec-Fetch-Site: found {request.fetch_site[:40]}; allowed: same-origin"
        if request.method in READING:
            return None
        if not request.marked:
            return f"{CONSOLE_HEADER}: found nothing; allowed: 1"
        if request.origin is None or _origin(request.origin) not in origins:
            found = "nothing" if request.origin is None else request.origin[:200]
            return f"Origin: found {found}; allowed: {', '.join(sorted(origins))}"
        return None

    def cookies(self, request: BrowserRequest) -> tuple[str, ...]:
        """Return the names of the cookie for this request's page; none where the page came over a network in the clear.

        At loopback two: some browsers take secure ones there, others do not.
        """
        host, secure = _place(request.origin) or (_host(request.host), request.scheme == "https")
        if secure:
            return (SECURE_COOKIE,)
        if _is_loopback(host):
            return SECURE_COOKIE, PLAIN_COOKIE
        return (PLAIN_COOKIE,) if host in self.insecure_hosts else ()

    def plain_counts(self, request: BrowserRequest) -> bool:
        """Return whether the cookie without `Secure` counts: where a browser may have got it only."""
        host = _host(request.host)
        return request.scheme != "https" and (_is_loopback(host) or host in self.insecure_hosts)

    def shared_origin(self) -> str | None:
        """Return the origin that console and endpoints share by the settings; None if they do not."""
        mine, theirs = _origin(self.public_url), _origin(self.proxy_url)
        return mine if mine is not None and mine == theirs else None

    def _origins(self, request: BrowserRequest) -> set[str]:
        mine = (_origin(f"{request.scheme}://{request.host}"), _origin(self.public_url))
        return {origin for origin in mine if origin is not None}


def _origin(url: str) -> str | None:
    """Return scheme, host and port as browsers write an origin; None for what has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if port in {None, usual} else f":{port}")


def _place(origin: str | None) -> tuple[str, bool] | None:
    """Return host and whether it is reached by TLS, as the browser sees it."""
    known = _origin(origin) if origin is not None else None
    return None if known is None else (urlsplit(known).hostname or "", known.startswith("https://"))


def _host(field: str) -> str:
    try:
        return urlsplit(f"//{field}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
