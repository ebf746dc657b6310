"""Tokens of a service."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from headrace.common.contracts.http.tokens import CreateToken, NewToken, TokenView
from headrace.sdk.transport import Transport, segment


class Tokens:
    """`/v1/services/{service}/tokens`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, service: str, body: CreateToken | None = None) -> NewToken:
        """Return a new token; it is shown only now."""
        return self._transport.one(NewToken, "POST", _of(service), body=body or CreateToken())

    def list(self, service: str) -> Iterator[TokenView]:
        """Yield the tokens, without their secret."""
        return self._transport.items(TokenView, _of(service))

    def revoke(self, service: str, token_id: UUID | str) -> None:
        """Make a token invalid; app-proxies know within a second."""
        self._transport.send("DELETE", f"{_of(service)}/{segment(token_id)}")


def _of(service: str) -> str:
    return f"/v1/services/{segment(service)}/tokens"
