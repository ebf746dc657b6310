"""Addresses of Redis (or Valkey): of one server, or of the Sentinels that know which server is the primary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, SecretStr

MAX_SENTINELS: Final = 9
SENTINEL_PORT: Final = 26379
_SENTINEL: Final = {"redis+sentinel": False, "rediss+sentinel": True}
"""Scheme → whether Sentinels and servers are reached by TLS."""
_PLAIN: Final = ("redis", "rediss", "unix")
ALLOWED: Final = (
    "redis://[[user]:password@]host:port/db, rediss:// for TLS, or of Sentinels "
    "redis+sentinel://[[user]:password@]host:port,host:port/service/db[?sentinel_password=…], rediss+sentinel:// for TLS; "
    "in a password, @ is written %40, / %2F and ? %3F"
)


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """The Sentinels, the name by which they know the primary, and who logs in."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    db: int
    tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)


def sentinel_address(url: str) -> SentinelAddress | None:
    """Return the address of a Sentinel URL; None for a URL of one server.

    Raises ValueError, which says what is allowed and quotes nothing: there may be a password in it.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SENTINEL:
        return None
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    login, _, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    service, _, db = path.partition("/")
    options = dict(parse_qsl(query, keep_blank_values=True))
    sentinels = tuple(map(_host, hosts.split(",")))
    if len(sentinels) > MAX_SENTINELS:
        raise ValueError(f"{len(sentinels)} Sentinels; allowed: {MAX_SENTINELS}")
    unknown = set(options) - {"sentinel_username", "sentinel_password"}
    if not service or unknown or not (db or "0").isascii() or not (db or "0").isdigit():
        raise ValueError(f"not an address; allowed: {ALLOWED}")
    return SentinelAddress(
        sentinels=sentinels,
        service=unquote(service),
        db=int(db or 0),
        tls=_SENTINEL[scheme],
        username=unquote(user) or None,
        password=unquote(password) or None,
        sentinel_username=options.get("sentinel_username") or None,
        sentinel_password=options.get("sentinel_password") or None,
    )


def _host(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or text.strip() != text:
        raise ValueError(f"not an address; allowed: {ALLOWED}")
    return host, port or SENTINEL_PORT


def checked_redis_url(secret: SecretStr) -> SecretStr:
    """Return the URL of Redis if it is one, or empty. Raises ValueError, which quotes nothing of it."""
    url = secret.get_secret_value()
    if url and sentinel_address(url) is None and url.partition("://")[0] not in _PLAIN:
        raise ValueError(f"not an address; allowed: {ALLOWED}")
    return secret


RedisUrl = Annotated[SecretStr, AfterValidator(checked_redis_url)]
"""Setting with the address of Redis."""
