"""Logins of users: by API key, by name and password, or by one-time code; and passwords."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.http.users import UserView
from headrace.common.contracts.ids import KeyId, LoginId, Slug
from headrace.common.contracts.vocabulary import LoginForm, LoginMethod, Role
from headrace.common.contracts.wording import Refused

MIN_PASSWORD: Final = 12
MAX_PASSWORD: Final = 256


def _credential(value: object) -> object:
    """Refuse what is no text of a bounded length without showing it."""
    if not isinstance(value, str):
        raise Refused("no text", "text")
    if not 1 <= len(value) <= MAX_PASSWORD:
        raise Refused(f"{len(value)} characters", f"1 to {MAX_PASSWORD} characters")
    return value


def _new_password(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused("no text", "text, or null")
    if not MIN_PASSWORD <= len(value) <= MAX_PASSWORD:
        raise Refused(f"{len(value)} characters", f"{MIN_PASSWORD} to {MAX_PASSWORD} characters")
    return value


Credential = Annotated[
    str,
    BeforeValidator(_credential),
    Field(json_schema_extra={"minLength": 1, "maxLength": MAX_PASSWORD, "writeOnly": True}),
]

_Given = Annotated[Credential | None, Field(repr=False)]


class StartLogin(Body):
    """A login by `key`, by `user` and `password`, or by `code`: one of the three."""

    key: _Given = None
    """An API key. The login may what the key may, and ends with it."""
    user: Slug | None = None
    password: _Given = None
    code: _Given = None
    """Of `POST /v1/login-codes`."""
    token: bool = False
    """For programs: answer with a token, to be sent as an API key is. Without it the answer sets a cookie, for the console."""

    @model_validator(mode="after")
    def _one_method(self) -> Self:
        given = [name for name in ("key", "user", "password", "code") if getattr(self, name) is not None]
        if given not in (["key"], ["user", "password"], ["code"]):
            raise Refused(" and ".join(given) or "nothing", "key, or user and password, or code")
        return self


class NewLogin(View):
    """A new login of a program, with its token, which is only shown here."""

    id: LoginId
    user: UserView
    token: str
    ends_at: AwareDatetime
    """It ends earlier when it is not used for `idle_s`."""
    idle_s: int


class LoginView(View):
    """A login of a user, without its secret."""

    id: LoginId
    method: LoginMethod
    """By what the user logged in."""
    form: LoginForm
    """`cookie`: a browser; `token`: a program."""
    source_address: str
    """Where the user logged in from."""
    user_agent: str
    """What the browser or program said of itself, cut to 200 characters."""
    key_id: KeyId | None
    """API key that it came from, with which it ends."""
    created_at: AwareDatetime
    last_used_at: AwareDatetime
    """To a minute."""
    ends_at: AwareDatetime
    """Its end: of its lifetime, or of the time in which it is not used, whichever is earlier."""
    current: bool = False
    """Whether the request came by it."""


class CurrentLogin(View):
    """Who the caller is, by what, until when; and the version of the server."""

    user: UserView
    projects: dict[str, Role]
    login: LoginView | None
    """null: the caller uses an API key."""
    key_id: KeyId | None
    """API key that is used, or that the login came from."""
    read_only: bool
    """Whether that key may only read."""
    version: str


class NewLoginCode(View):
    """A code that logs its user in once."""

    code: str
    path: str
    """Path of the console's page with the code, to be opened below the server's URL."""
    expires_at: AwareDatetime


class PutPassword(Body):
    """A user's password: set, changed, or with null taken away. It ends the user's other logins."""

    password: Annotated[
        str | None,
        BeforeValidator(_new_password),
        Field(repr=False, json_schema_extra={"minLength": MIN_PASSWORD, "maxLength": MAX_PASSWORD, "writeOnly": True}),
    ]
    current: _Given = None
    """The present password: needed of who changes the own one, unless by an API key that does not expire."""
