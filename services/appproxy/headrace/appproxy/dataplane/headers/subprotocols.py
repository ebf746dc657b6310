"""Bearer tokens in WebSocket subprotocols.

Browsers' WebSockets cannot set header fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headrace.appproxy.dataplane.headers.identity import holds_credential

NAME: Final = b"headrace"
"""Offered beside the token; accepted on the replica's behalf if it chooses no subprotocol."""
_TOKENS: Final = (b"headrace.token.", b"openai-insecure-api-key.")
"""Prefixes of subprotocols that carry a token: ours, and that of OpenAI's realtime clients."""


class SubprotocolOffer:
    """WebSocket subprotocols that a caller offers, without the bearer token among them."""

    __slots__ = ("answer", "authorization", "forwarded")

    def __init__(self) -> None:
        self.forwarded = b""
        """Field for the replica, without CRLF."""
        self.authorization: bytes | None = None
        """The token as an Authorization value."""
        self.answer = b""
        """Subprotocol to accept if the replica chooses none; a browser closes the connection without one (WHATWG)."""


_NONE: Final = SubprotocolOffer()


def parse_offer(values: Sequence[bytes]) -> SubprotocolOffer:
    """Parse the Sec-WebSocket-Protocol fields of a request."""
    if not values:
        return _NONE
    offer = SubprotocolOffer()
    kept: list[bytes] = []
    named = False
    for item in b",".join(values).split(b","):
        word = item.strip(b" \t")
        start = next((len(prefix) for prefix in _TOKENS if word.startswith(prefix)), 0)
        if start and (word.startswith(NAME) or holds_credential(word)):
            if offer.authorization is None:
                offer.authorization, offer.answer = b"Bearer " + word[start:], word
        elif word == NAME:
            named = True
        elif word:
            kept.append(word)
    if offer.authorization is None and named:
        kept.append(NAME)
    elif named:
        offer.answer = NAME
    if kept:
        offer.forwarded = b"Sec-WebSocket-Protocol: " + b", ".join(kept)
    return offer
