"""Named clients of a service: apps that call it with basic auth."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from headrace.common.contracts.http.clients import ClientView, CreateClient, NewClient
from headrace.common.contracts.http.revocations import RevocationView
from headrace.common.contracts.http.tokens import UpdateCaller
from headrace.sdk.revocations import revoked, until_in_force
from headrace.sdk.transport import Transport, segment


class Clients:
    """Client of `/v1/services/{service}/clients`: named clients, given by name or id."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, service: str, body: CreateClient) -> NewClient:
        """Create a named client; its secret is only returned here."""
        return self._transport.create(NewClient, _of(service), body)

    def list(self, service: str) -> Iterator[ClientView]:
        """Yield the named clients, without their secrets."""
        return self._transport.items(ClientView, _of(service))

    def update(
        self, service: str, client: UUID | str, body: UpdateCaller, *, if_match: str | None = None
    ) -> ClientView:
        """Change limits and share; app-proxies apply them within a second."""
        return self._transport.one(
            ClientView, "PATCH", f"{_of(service)}/{segment(client)}", body=body, if_match=if_match
        )

    def rotate(self, service: str, client: UUID | str, *, if_match: str | None = None) -> NewClient:
        """Replace a client's secret; the new one is only returned here, and the old one is refused within a second."""
        return self._transport.one(NewClient, "POST", f"{_of(service)}/{segment(client)}/rotate", if_match=if_match)

    def revoke(self, service: str, client: UUID | str, *, if_match: str | None = None) -> RevocationView:
        """Delete a client. Return which app-proxies refuse it already; all do within a second (`wait_in_force`)."""
        return revoked(self._transport, f"{_of(service)}/{segment(client)}", client, if_match=if_match)

    def revocation(self, service: str, client_id: UUID | str) -> RevocationView:
        """Return which app-proxies refuse a deleted client, or a rotated secret. Give the client's id."""
        path = f"/v1/services/{segment(service)}/revocations/{segment(client_id)}"
        return self._transport.one(RevocationView, "GET", path)

    def wait_in_force(self, service: str, client_id: UUID | str, *, timeout_s: float = 5.0) -> RevocationView:
        """Wait until every app-proxy refuses it, at most `timeout_s`. Return the last state."""
        return until_in_force(self._transport, lambda: self.revocation(service, client_id), timeout_s=timeout_s)


def _of(service: str) -> str:
    return f"/v1/services/{segment(service)}/clients"
