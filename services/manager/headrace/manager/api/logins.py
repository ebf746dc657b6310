"""Routes of logins and passwords."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from headrace.common.contracts.http.logins import (
    CurrentLogin,
    LoginView,
    NewLogin,
    NewLoginCode,
    PutPassword,
    StartLogin,
)
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.login_cookie import CONSOLE_HEADER, LOGIN_COOKIES, SECURE_COOKIE
from headrace.common.contracts.problems import Conflict, Forbidden, TooManyRequests, Unauthenticated, Unavailable
from headrace.manager.api.routing import Call, Header, Paging, Reply, Routes, json_reply, no_content

routes = Routes("projects")
ENDED: Final = {204: Reply("Ended.")}
_CONSOLE: Final = Header(CONSOLE_HEADER, "1, of the console's requests.")


@routes.on(
    "POST",
    "/v1/login",
    body=StartLogin,
    public=True,
    headers=(_CONSOLE,),
    replies={
        200: Reply("With `token`: the login, whose token is shown once.", NewLogin),
        204: Reply("Logged in.", headers=(Header("Set-Cookie", "The login."),)),
    },
    problems=(Unauthenticated, Forbidden, TooManyRequests, Unavailable),
)
async def start_login(call: Call) -> web.Response:
    """Log in by API key, by name and password, or by one-time code. The login ends at logout, unused, with its key, or after a week.

    The console gets a cookie, and sends it back to its own origin only, with its header where something is changed. Programs say
    `token`, and send that as they do an API key.
    """
    asked, presented = call.body(StartLogin), call.presented
    names = () if asked.token else call.use.logins.cookie_names(presented)
    made = await call.use.logins.start(asked, presented)
    if asked.token:
        return json_reply(made)
    answer = no_content()
    for name in names:
        _set_cookie(answer, name, made.token)
    return answer


@routes.on("GET", "/v1/login", replies={200: Reply("The caller, and the login.", CurrentLogin)})
async def show_login(call: Call) -> web.Response:
    """Get who the caller is, by which login or API key, until when, and the server's version."""
    return json_reply(await call.use.logins.current(call.actor))


@routes.on("DELETE", "/v1/login", replies=ENDED, problems=(Conflict,), any_key=True)
async def end_login(call: Call) -> web.Response:
    """Log out: the login is refused from the next request on."""
    await call.use.logins.end(call.actor)
    answer = no_content()
    for name in LOGIN_COOKIES:
        _set_cookie(answer, name, "")
    return answer


@routes.on(
    "POST",
    "/v1/login-codes",
    replies={201: Reply("The code, which is shown once.", NewLoginCode)},
    problems=(Conflict,),
)
async def create_login_code(call: Call) -> web.Response:
    """Create a code by which the caller logs in once, within a minute, as in a browser."""
    return json_reply(await call.use.logins.new_code(call.actor), status=201)


@routes.on("GET", "/v1/users/{user}/logins", query=Paging, replies={200: Reply("A page of logins.", Page[LoginView])})
async def list_logins(call: Call) -> web.Response:
    """List a user's logins that have not ended (operators: of any user; others: their own)."""
    page = call.query(Paging)
    return json_reply(await call.use.logins.page(call.actor, call["user"], after=page.after, limit=page.limit))


@routes.on("DELETE", "/v1/users/{user}/logins/{login_id}", replies=ENDED)
async def end_login_of_user(call: Call) -> web.Response:
    """End a login (operators: of any user; others: their own). It is refused from the next request on."""
    await call.use.logins.end_one(call.actor, call["user"], call["login_id"])
    return no_content()


@routes.on(
    "PUT",
    "/v1/users/{user}/password",
    body=PutPassword,
    replies={204: Reply("Set, or taken away.")},
    problems=(Forbidden, TooManyRequests),
)
async def put_password(call: Call) -> web.Response:
    """Set a user's password, or take it away (operators: of any user; others: their own). The user's other logins end."""
    await call.use.passwords.put(call.actor, call["user"], call.body(PutPassword))
    return no_content()


def _set_cookie(answer: web.Response, name: str, value: str) -> None:
    """Set the login's cookie until the browser is closed; without a value: remove it."""
    answer.set_cookie(
        name,
        value,
        path="/",
        secure=name == SECURE_COOKIE,
        httponly=True,
        samesite="Strict",
        max_age=None if value else 0,
    )
