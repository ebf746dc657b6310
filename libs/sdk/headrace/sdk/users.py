"""Users and their API keys."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from headrace.common.contracts.http.keys import CreateKey, KeyView, NewKey, UpdateKey
from headrace.common.contracts.http.users import CreateUser, UpdateUser, UserView
from headrace.sdk.transport import Transport, segment


class Users:
    """Calls of users: `/v1/users`: for operators; keys also for oneself."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, body: CreateUser) -> UserView:
        """Create a user."""
        return self._transport.one(UserView, "POST", "/v1/users", body=body)

    def list(self) -> Iterator[UserView]:
        """Yield all users."""
        return self._transport.items(UserView, "/v1/users")

    def update(self, user: str, body: UpdateUser) -> UserView:
        """Change what is set in `body`."""
        return self._transport.one(UserView, "PATCH", f"/v1/users/{segment(user)}", body=body)

    def create_key(self, user: str, body: CreateKey | None = None) -> NewKey:
        """Return a new API key of `user`; its secret is shown only now."""
        return self._transport.one(NewKey, "POST", _keys(user), body=body or CreateKey())

    def keys(self, user: str) -> Iterator[KeyView]:
        """Yield the API keys of `user`, without secrets."""
        return self._transport.items(KeyView, _keys(user))

    def update_key(self, user: str, key_id: UUID | str, body: UpdateKey) -> KeyView:
        """Change what is set in `body` of an API key, which stays as it is."""
        return self._transport.one(KeyView, "PATCH", f"{_keys(user)}/{segment(key_id)}", body=body)

    def delete_key(self, user: str, key_id: UUID | str) -> None:
        """Make a key invalid."""
        self._transport.send("DELETE", f"{_keys(user)}/{segment(key_id)}")


def _keys(user: str) -> str:
    return f"/v1/users/{segment(user)}/keys"
