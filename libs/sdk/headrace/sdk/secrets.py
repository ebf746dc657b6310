"""Secrets of a project: stored and deleted, and never read."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from headrace.common.contracts.http.secrets import PutSecret, SecretDetail, SecretView
from headrace.sdk.transport import Transport, segment


class Secrets:
    """Client of `/v1/projects/{project}/secrets`: secrets, given by name or id."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def put(self, project: str, secret: str, value: str, *, if_match: str | None = None) -> SecretView:
        """Store a secret, or a new version of one; the value that it has already makes none."""
        return self._transport.one(
            SecretView, "PUT", f"{_of(project)}/{segment(secret)}", body=PutSecret(value=value), if_match=if_match
        )

    def list(self, project: str) -> Iterator[SecretView]:
        """Yield the secrets, without their values."""
        return self._transport.items(SecretView, _of(project))

    def get(self, project: str, secret: UUID | str) -> SecretDetail:
        """Return one secret with its versions, and which services use each; without its value."""
        return self._transport.one(SecretDetail, "GET", f"{_of(project)}/{segment(secret)}")

    def delete(self, project: str, secret: UUID | str, *, if_match: str | None = None) -> None:
        """Delete a secret with all its versions. ApiError `in-use` while services use it."""
        self._transport.send("DELETE", f"{_of(project)}/{segment(secret)}", if_match=if_match)


def _of(project: str) -> str:
    return f"/v1/projects/{segment(project)}/secrets"
