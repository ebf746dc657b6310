"""Users and their API keys."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from headrace.common.contracts.http.keys import CreateKey, KeyView, NewKey, UpdateKey
from headrace.common.contracts.http.users import CreateUser, UpdateUser, UserView
from headrace.sdk.transport import Transport, segment


class Users:
    """Client of `/v1/users`, for operators; API keys also for the user itself."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, body: CreateUser) -> UserView:
        """Create a user."""
        return self._transport.create(UserView, "/v1/users", body)

    def list(self) -> Iterator[UserView]:
        """Yield all users."""
        return self._transport.items(UserView, "/v1/users")

    def update(self, user: str, body: UpdateUser) -> UserView:
        """Change the fields set in `body`."""
        return self._transport.one(UserView, "PATCH", f"/v1/users/{segment(user)}", body=body)

    def create_key(self, user: str, body: CreateKey | None = None) -> NewKey:
        """Create an API key of `user`; its secret is only returned here."""
        return self._transport.create(NewKey, _keys(user), body or CreateKey())

    def keys(self, user: str) -> Iterator[KeyView]:
        """Yield the API keys of `user`, without secrets."""
        return self._transport.items(KeyView, _keys(user))

    def update_key(self, user: str, key_id: UUID | str, body: UpdateKey) -> KeyView:
        """Change name and expiry of an API key (fields set in `body`); its secret stays."""
        return self._transport.one(KeyView, "PATCH", f"{_keys(user)}/{segment(key_id)}", body=body)

    def delete_key(self, user: str, key_id: UUID | str) -> None:
        """Revoke an API key."""
        self._transport.send("DELETE", f"{_keys(user)}/{segment(key_id)}")


def _keys(user: str) -> str:
    return f"/v1/users/{segment(user)}/keys"
