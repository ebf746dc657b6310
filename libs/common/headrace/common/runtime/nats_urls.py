"""Addresses of the NATS servers: one, or several of a cluster, separated by commas."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

MAX_SERVERS: Final = 16
_SCHEMES: Final = ("nats", "tls", "ws", "wss")
_EXAMPLE: Final = "nats://host:port, or several of one cluster, separated by commas"


def server_urls(text: str) -> tuple[str, ...]:
    """Return the addresses in `text`; one without a scheme is `nats://`.

    Raises ValueError, which says what is allowed and quotes nothing: somebody may have written a password there.
    """
    urls = tuple(one if "://" in one else f"nats://{one}" for one in map(str.strip, text.split(",")))
    if len(urls) > MAX_SERVERS:
        raise ValueError(f"{len(urls)} addresses; allowed: {MAX_SERVERS}")
    if not all(map(_is_address, urls)):
        raise ValueError(f"not an address; allowed: {_EXAMPLE}")
    if len({urlsplit(url).scheme for url in urls}) > 1:
        raise ValueError("addresses of different schemes; allowed: nats:// for all of them, or tls:// for all of them")
    return urls


def encrypted(urls: tuple[str, ...]) -> bool:
    """Return whether these addresses ask for TLS."""
    return urls[0].startswith(("tls://", "wss://"))


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return False


def _checked(text: str) -> str:
    server_urls(text)
    return text


NatsUrl = Annotated[str, AfterValidator(_checked)]
"""Setting with the addresses of the NATS servers."""
