"""Join tokens and identities on the bus, for operators."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

from headrace.common.contracts.http.joining import BusIdentityView, CreateJoinToken, JoinTokenView, NewJoinToken
from headrace.sdk.expiry import Expires, lasting_s
from headrace.sdk.transport import Transport, segment


class JoinTokens:
    """Client of `/v1/join-tokens`: tokens with which machines, app-proxies and autoscalers join."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, body: CreateJoinToken, *, expires: Expires | None = None) -> NewJoinToken:
        """Create a join token (operators), with the line to run on the new machine. It is shown only here.

        `expires` wins over the body's `ttl_s`.
        """
        if expires is not None:
            body = body.model_copy(update={"ttl_s": lasting_s(expires, datetime.now(UTC))})
        return self._transport.create(NewJoinToken, "/v1/join-tokens", body)

    def list(self) -> Iterator[JoinTokenView]:
        """Yield join tokens without their secrets, also those that are over."""
        return self._transport.items(JoinTokenView, "/v1/join-tokens")

    def revoke(self, token_id: UUID | str) -> None:
        """Revoke a join token (operators); machines that have joined with it stay."""
        self._transport.send("DELETE", f"/v1/join-tokens/{segment(str(token_id))}")


class Identities:
    """Client of `/v1/identities`: identities on the bus that were signed for who joined, or revoked."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[BusIdentityView]:
        """Yield the identities by name, also revoked ones."""
        return self._transport.items(BusIdentityView, "/v1/identities")

    def revoke(self, name: str, *, reason: str = "") -> None:
        """Revoke an identity (operators): the bus ends its connections, and refuses it from then on."""
        self._transport.send("DELETE", f"/v1/identities/{segment(name)}", query={"reason": reason or None})
