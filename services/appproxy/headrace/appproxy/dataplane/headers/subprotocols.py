"""Bearer tokens in WebSocket subprotocols.

Browsers' WebSockets can bring no field of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headrace.appproxy.dataplane.headers.identity import holds_credential

NAME: Final = b"headrace"
"""Offered beside the token, it is what the caller is told to be chosen where the replica chooses none."""
_TOKENS: Final = (b"headrace.token.", b"openai-insecure-api-key.")
"""What a subprotocol that is a token begins with: ours, and that of OpenAI's realtime clients."""


class Offer:
    """WebSocket subprotocols that a caller offers, without the bearer token among them."""

    __slots__ = ("answer", "authorization", "forwarded")

    def __init__(self) -> None:
        self.forwarded = b""
        """The field for the replica, without CRLF."""
        self.authorization: bytes | None = None
        """The token, as Authorization would have it."""
        self.answer = b""
        """What the caller is told to be chosen where the replica chooses none; a browser ends the connection without (WHATWG)."""


_NONE: Final = Offer()


def parse_offer(values: Sequence[bytes]) -> Offer:
    """Parse the Sec-WebSocket-Protocol fields of a request."""
    if not values:
        return _NONE
    offer = Offer()
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
