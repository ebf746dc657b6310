"""Users and their API keys."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from headrace.common.contracts.http.keys import CreateKey, KeyView, NewKey, UpdateKey
from headrace.common.contracts.http.users import CreateUser, UpdateUser, UserView
from headrace.sdk.expiry import Expires, expiry_fields
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

    def get(self, user: str) -> UserView:
        """Return a user, by name or id; operators any, others themselves."""
        return self._transport.one(UserView, "GET", f"/v1/users/{segment(user)}")

    def update(self, user: str, body: UpdateUser, *, if_match: str | None = None) -> UserView:
        """Change the fields set in `body`."""
        return self._transport.one(UserView, "PATCH", f"/v1/users/{segment(user)}", body=body, if_match=if_match)

    def create_key(self, user: str, body: CreateKey | None = None, *, expires: Expires | None = None) -> NewKey:
        """Create an API key of `user`; its secret is only returned here. `expires` wins over the body; without both it never ends."""
        body = body or CreateKey()
        if expires is not None:
            body = body.model_copy(
                update={"expires_at": None, "expires_in_s": None} | expiry_fields(expires, never=True)
            )
        return self._transport.create(NewKey, _keys(user), body)

    def keys(self, user: str) -> Iterator[KeyView]:
        """Yield the API keys of `user`, without secrets."""
        return self._transport.items(KeyView, _keys(user))

    def update_key(
        self,
        user: str,
        key_id: UUID | str,
        body: UpdateKey | None = None,
        *,
        expires: Expires | None = None,
        if_match: str | None = None,
    ) -> KeyView:
        """Change an API key (fields set in `body`; `expires` wins over them); its secret stays."""
        if expires is not None:
            given = body.model_dump(exclude_unset=True, exclude={"expires_at", "expires_in_s"}) if body else {}
            body = UpdateKey.model_validate(given | expiry_fields(expires, never=True))
        elif body is None:
            raise ValueError("found nothing to change; allowed: a body, or expires")
        return self._transport.one(KeyView, "PATCH", f"{_keys(user)}/{segment(key_id)}", body=body, if_match=if_match)

    def delete_key(self, user: str, key_id: UUID | str, *, if_match: str | None = None) -> None:
        """Revoke an API key."""
        self._transport.send("DELETE", f"{_keys(user)}/{segment(key_id)}", if_match=if_match)


def _keys(user: str) -> str:
    return f"/v1/users/{segment(user)}/keys"
