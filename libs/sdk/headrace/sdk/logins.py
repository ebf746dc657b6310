"""Logins of users."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from headrace.common.contracts.http.logins import (
    CurrentLogin,
    LoginView,
    NewLogin,
    NewLoginCode,
    PutPassword,
    StartLogin,
)
from headrace.sdk.transport import Transport, segment


class Logins:
    """Client of `/v1/login` and of users' logins and passwords."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def start(self, body: StartLogin) -> NewLogin:
        """Log in, which needs no key of the client. The token, shown only here, is used as an API key is: `Client(url, token)`."""
        asked = body.model_copy(update={"token": True})
        return self._transport.one(NewLogin, "POST", "/v1/login", body=asked)

    def current(self) -> CurrentLogin:
        """Return who the caller is, by which login or API key, and until when."""
        return self._transport.one(CurrentLogin, "GET", "/v1/login")

    def end(self) -> None:
        """Log out: the client's token is refused from then on. ApiError `conflict` if the client has an API key."""
        self._transport.send("DELETE", "/v1/login")

    def create_code(self) -> NewLoginCode:
        """Create a code that logs the caller in once, within a minute, as in a browser."""
        return self._transport.one(NewLoginCode, "POST", "/v1/login-codes")

    def list(self, user: str) -> Iterator[LoginView]:
        """Yield the logins of `user` that have not ended."""
        return self._transport.items(LoginView, f"/v1/users/{segment(user)}/logins")

    def end_of(self, user: str, login_id: UUID | str) -> None:
        """End a login of `user`."""
        self._transport.send("DELETE", f"/v1/users/{segment(user)}/logins/{segment(login_id)}")

    def set_password(self, user: str, password: str | None, *, current: str | None = None) -> None:
        """Set the password of `user`, or with None take it away; the user's other logins end.

        `current`: the present one, needed for the own one unless by an API key that does not expire.
        """
        body = PutPassword(password=password, **({} if current is None else {"current": current}))
        self._transport.send("PUT", f"/v1/users/{segment(user)}/password", body=body)
