"""Tokens of a service, or of all services of a project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal
from uuid import UUID

from headrace.common.contracts.http.revocations import RevocationView
from headrace.common.contracts.http.tokens import CreateToken, NewToken, TokenView, UpdateToken
from headrace.sdk.expiry import Expires, expiry_fields
from headrace.sdk.revocations import revoked, until_in_force
from headrace.sdk.transport import Transport, segment


class Tokens:
    """Client of `/v1/services/{service}/tokens`, or `/v1/projects/{project}/tokens`; `of` is the service or project, by
    name or id.
    """

    def __init__(self, transport: Transport, kind: Literal["services", "projects"] = "services") -> None:
        self._transport = transport
        self._kind = kind

    def create(self, of: str, body: CreateToken | None = None, *, expires: Expires | None = None) -> NewToken:
        """Create a token; its secret is only returned here. `expires` wins over the body; 30 days without both."""
        body = body or CreateToken()
        if expires is not None:
            body = body.model_copy(update={"expires_at": None, "expires_in_s": None} | expiry_fields(expires))
        return self._transport.create(NewToken, self._path(of), body)

    def list(self, of: str) -> Iterator[TokenView]:
        """Yield the tokens, without their secrets."""
        return self._transport.items(TokenView, self._path(of))

    def update(self, of: str, token_id: UUID | str, body: UpdateToken, *, if_match: str | None = None) -> TokenView:
        """Change name, limits and share; app-proxies apply them within a second. The token itself stays valid."""
        return self._transport.one(
            TokenView, "PATCH", f"{self._path(of)}/{segment(token_id)}", body=body, if_match=if_match
        )

    def revoke(self, of: str, token_id: UUID | str, *, if_match: str | None = None) -> RevocationView:
        """Revoke a token. Return which app-proxies refuse it already; all do within a second (`wait_in_force`)."""
        return revoked(self._transport, f"{self._path(of)}/{segment(token_id)}", token_id, if_match=if_match)

    def revocation(self, of: str, token_id: UUID | str) -> RevocationView:
        """Return which app-proxies refuse a revoked token."""
        path = f"/v1/{self._kind}/{segment(of)}/revocations/{segment(token_id)}"
        return self._transport.one(RevocationView, "GET", path)

    def wait_in_force(self, of: str, token_id: UUID | str, *, timeout_s: float = 5.0) -> RevocationView:
        """Wait until every app-proxy refuses the token, at most `timeout_s`. Return the last state."""
        return until_in_force(self._transport, lambda: self.revocation(of, token_id), timeout_s=timeout_s)

    def _path(self, of: str) -> str:
        return f"/v1/{self._kind}/{segment(of)}/tokens"
