"""Logins: by key, password and code; the browser's cookie and what is tried against it; limited keys; what the audit log has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from headrace.cli.app import build
from headrace.cli.config import Config
from headrace.cli.session import Session
from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.keyform import LOGIN, LOGIN_CODE
from headrace.common.contracts.login_cookie import PLAIN_COOKIE, SECURE_COOKIE
from headrace.common.db.pool import Pool
from headrace.manager.domain.logins import MAX_TRIES_OF_NAME
from tests.support.api import Api
from tests.support.worlds.manager_api import ManagerApi, serving

PASSWORD = "correct horse battery"


class Browser:
    """A browser at a page of `origin`, by default the console's; it keeps its cookies, and says what a browser says."""

    def __init__(self, url: str, *, origin: str | None = None, site: str = "same-origin") -> None:
        self.said = {"Origin": origin or url, "Sec-Fetch-Site": site, "X-Headrace-Console": "1"}
        self.http = httpx.AsyncClient(verify=False, base_url=url, timeout=60)

    async def ask(self, method: str, path: str, body: object = None, **other: str) -> httpx.Response:
        headers = {name: value for name, value in (self.said | other).items() if value}
        return await self.http.request(method, path, json=body, headers=headers)

    async def log_in(self, **body: object) -> str:
        """Log in, and return the cookie's value."""
        answer = await self.ask("POST", "/v1/login", body)
        assert answer.status_code == 204, answer.text
        return answer.cookies[PLAIN_COOKIE]

    async def whoami(self) -> int:
        return (await self.ask("GET", "/v1/whoami")).status_code


@pytest.fixture
async def browser(api: ManagerApi) -> AsyncIterator[Browser]:
    made = Browser(api.url)
    yield made
    await made.http.aclose()


@pytest.fixture
async def ann(api: ManagerApi) -> AsyncIterator[Api]:
    """A user with a password, and a client with a key of hers."""
    made = await api.user("ann", default="member")
    await api.admin.call("PUT", "/v1/users/ann/password", {"password": PASSWORD})
    yield made
    await made.close()


async def audited(api: ManagerApi, action: str) -> list[Any]:
    return list((await api.admin.call("GET", f"/v1/audit?action={action}"))["items"])


async def test_a_browser_logs_in_by_password_and_out_again(api: ManagerApi, ann: Api, browser: Browser) -> None:
    answer = await browser.ask("POST", "/v1/login", {"user": "ann", "password": PASSWORD})
    assert (answer.status_code, answer.content) == (204, b"")
    by_name = {cookie.partition("=")[0]: cookie for cookie in answer.headers.get_list("Set-Cookie")}
    assert set(by_name) == {SECURE_COOKIE, PLAIN_COOKIE}, "some browsers take no secure one at loopback"
    assert by_name[SECURE_COOKIE].partition("; ")[2] == "HttpOnly; Path=/; SameSite=Strict; Secure"
    assert by_name[PLAIN_COOKIE].partition("; ")[2] == "HttpOnly; Path=/; SameSite=Strict"
    cookie = browser.http.cookies[PLAIN_COOKIE]
    assert LOGIN.parse(cookie)
    stored = await api.pool.fetchval("select secret_hash from logins")
    assert len(stored) == 32
    assert cookie.encode() not in stored

    me = (await browser.ask("GET", "/v1/login")).json()
    assert (me["user"]["name"], me["user"]["has_password"], me["projects"]) == ("ann", True, {"default": "member"})
    assert (me["login"]["method"], me["login"]["form"], me["login"]["current"], me["key_id"]) == (
        "password",
        "cookie",
        True,
        None,
    )
    made = await browser.ask("POST", "/v1/services", {"name": "a", "runtime": "cmd"})
    assert made.status_code == 201
    (entry,) = await audited(api, "service.created")
    assert (entry["actor"], entry["login_id"], entry["key_id"]) == ("ann", me["login"]["id"], None)

    out = await browser.ask("DELETE", "/v1/login")
    assert out.status_code == 204
    assert all("Max-Age=0" in cleared for cleared in out.headers.get_list("Set-Cookie"))
    stolen = Browser(api.url)
    stolen.http.cookies.set(PLAIN_COOKIE, cookie)
    assert await stolen.whoami() == 401, "it was copied before"
    await stolen.http.aclose()
    assert [entry["action"] for entry in await audited(api, "login.*")] == ["login.ended", "login.started"]


async def test_only_the_console_s_own_page_uses_the_cookie(api: ManagerApi, ann: Api, browser: Browser) -> None:
    await browser.log_in(user="ann", password=PASSWORD)
    project = {"name": "made-by-another-page", "runtime": "cmd"}
    foreign = "http://127.0.0.1:8000"
    for said in (
        {"Sec-Fetch-Site": "same-site", "Origin": foreign},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": foreign},
        {"Origin": ""},
        {"Origin": "null"},
        {"X-Headrace-Console": ""},
        {"X-Headrace-Console": "0"},
    ):
        refused = await browser.ask("POST", "/v1/services", project, **said)
        assert refused.status_code == 401, said
        assert "does not count" in refused.json()["detail"]
    for said in ({"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await browser.ask("GET", "/v1/services", **said)).status_code == 401
    read = await browser.ask("GET", "/v1/services", **{"Origin": "", "X-Headrace-Console": "", "Sec-Fetch-Site": ""})
    assert read.json()["items"] == [], "an old browser reads; nothing was made"
    assert read.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not [name for name in read.headers if name.lower().startswith("access-control-")]
    asked_first = await browser.http.options("/v1/services", headers={"Origin": foreign})
    assert asked_first.status_code == 405
    # nor does another page log a browser in, for its own user
    for said in ({"Origin": foreign}, {"X-Headrace-Console": ""}, {"Sec-Fetch-Site": "cross-site"}):
        refused = await browser.ask("POST", "/v1/login", {"user": "ann", "password": PASSWORD}, **said)
        assert (refused.status_code, refused.headers.get_list("Set-Cookie")) == (403, [])


async def test_a_login_that_was_there_before_ends_with_the_next_and_none_is_taken_from_outside(
    api: ManagerApi, ann: Api, browser: Browser
) -> None:
    planted = LOGIN.new(new_uuid())[0]
    browser.http.cookies.set(PLAIN_COOKIE, planted)
    first = await browser.log_in(user="ann", password=PASSWORD)
    assert first != planted
    browser.http.cookies.clear()
    browser.http.cookies.set(PLAIN_COOKIE, first)
    second = await browser.log_in(key=ann.key)
    assert second != first
    assert await api.pool.fetchval("select count(*) from logins") == 1
    for cookies in (
        f"{PLAIN_COOKIE}={first}",
        f"{PLAIN_COOKIE}={second}; {PLAIN_COOKIE}={first}",
        f"{SECURE_COOKIE}=x; {PLAIN_COOKIE}={second}",
    ):
        answer = await httpx_get(api.url, cookies)
        assert answer == 401, cookies
    assert await httpx_get(api.url, f"{PLAIN_COOKIE}={second}") == 200
    assert await httpx_get(api.url, f"{SECURE_COOKIE}={second}; {PLAIN_COOKIE}={first}") == 200, "the safer one wins"


async def httpx_get(url: str, cookies: str) -> int:
    async with httpx.AsyncClient(verify=False, base_url=url) as http:
        return (await http.get("/v1/whoami", headers={"Cookie": cookies})).status_code


async def test_a_cookie_is_no_token_and_a_token_no_cookie(api: ManagerApi, ann: Api, browser: Browser) -> None:
    cookie = await browser.log_in(user="ann", password=PASSWORD)
    made = await api.admin.call("POST", "/v1/login", {"user": "ann", "password": PASSWORD, "token": True})
    program = Api(api.url, made["token"])
    assert (await program.call("GET", "/v1/login"))["login"]["form"] == "token"
    as_token = Api(api.url, cookie)
    await as_token.call("GET", "/v1/whoami", expect=401)
    await as_token.close()
    assert await httpx_get(api.url, f"{PLAIN_COOKIE}={made['token']}") == 401
    await program.call("DELETE", "/v1/login")
    assert "has ended" in (await program.call("GET", "/v1/whoami", expect=401))["detail"]
    assert "no login" in (await ann.call("DELETE", "/v1/login", expect=409))["detail"]
    await program.close()


async def test_a_login_ends_with_its_key_unused_in_time_and_by_its_user_from_elsewhere(
    api: ManagerApi, ann: Api, browser: Browser
) -> None:
    key = await ann.call("POST", "/v1/users/ann/keys", {"name": "laptop"})
    await browser.log_in(key=key["key"])
    (login,) = (await ann.call("GET", "/v1/users/ann/logins"))["items"]
    assert (login["method"], login["key_id"], login["current"]) == ("key", key["id"], False)
    assert login["source_address"] == "127.0.0.1"
    assert login["user_agent"].startswith("python-httpx")
    await ann.call("DELETE", f"/v1/users/ann/keys/{key['id']}")
    assert await browser.whoami() == 401

    for end in (
        "update logins set last_used_at = now() - interval '13 h'",
        "update logins set last_used_at = now(), ends_at = now() - interval '1 s'",
    ):
        await browser.log_in(user="ann", password=PASSWORD)
        assert await browser.whoami() == 200
        await api.pool.execute(end)
        assert await browser.whoami() == 401
        assert (await ann.call("GET", "/v1/users/ann/logins"))["items"] == []

    await browser.log_in(user="ann", password=PASSWORD)
    (login,) = (await ann.call("GET", "/v1/users/ann/logins"))["items"]
    bob = await api.user("bob")
    await bob.call("GET", "/v1/users/ann/logins", expect=404)
    await bob.call("DELETE", f"/v1/users/ann/logins/{login['id']}", expect=404)
    await bob.call("DELETE", f"/v1/users/bob/logins/{login['id']}", expect=404)
    assert await browser.whoami() == 200
    await ann.call("DELETE", f"/v1/users/ann/logins/{login['id']}")
    assert await browser.whoami() == 401
    await bob.close()


async def test_its_use_is_noted_once_a_minute_and_keeps_it(api: ManagerApi, ann: Api, browser: Browser) -> None:
    await browser.log_in(user="ann", password=PASSWORD)
    await api.pool.execute("update logins set last_used_at = now() - interval '11 h'")
    await api.pool.execute("update api_keys set last_used_at = now() - interval '11 h'")
    assert await browser.whoami() == 200
    await ann.call("GET", "/v1/whoami")
    noted = "select last_used_at from {} order by last_used_at desc nulls last limit 1"
    login, key = await api.pool.fetchval(noted.format("logins")), await api.pool.fetchval(noted.format("api_keys"))
    assert await api.pool.fetchval("select $1::timestamptz > now() - interval '1 min'", login)
    assert await browser.whoami() == 200
    await ann.call("GET", "/v1/whoami")
    assert (await api.pool.fetchval(noted.format("logins")), await api.pool.fetchval(noted.format("api_keys"))) == (
        login,
        key,
    )
    (shown,) = (await ann.call("GET", "/v1/users/ann/keys"))["items"]
    assert shown["last_used_at"] is not None


async def test_a_code_logs_in_once_within_a_minute(api: ManagerApi, ann: Api, browser: Browser) -> None:
    made = await ann.call("POST", "/v1/login-codes")
    assert made["path"] == f"/console/login#code={made['code']}"
    assert LOGIN_CODE.parse(made["code"])
    await browser.log_in(code=made["code"])
    assert (await browser.ask("GET", "/v1/login")).json()["login"]["method"] == "code"
    again = await browser.ask("POST", "/v1/login", {"code": made["code"]})
    assert (again.status_code, "once" in again.json()["detail"]) == (401, True)
    late = await ann.call("POST", "/v1/login-codes")
    await api.pool.execute("update login_codes set expires_at = now() - interval '1 s'")
    assert (await browser.ask("POST", "/v1/login", {"code": late["code"]})).status_code == 401
    made = [await ann.call("POST", "/v1/login-codes") for _ in range(10)]
    assert "10 codes" in (await ann.call("POST", "/v1/login-codes", expect=409))["detail"]
    both = await asyncio.gather(*(browser.ask("POST", "/v1/login", {"code": made[0]["code"]}) for _ in range(4)))
    assert sorted(answer.status_code for answer in both) == [204, 401, 401, 401]


async def test_wrong_logins_are_refused_alike_and_audited_without_what_was_tried(api: ManagerApi, ann: Api) -> None:
    await api.admin.call("POST", "/v1/users", {"name": "without"})
    said = set()
    for user, password in (("ann", "wrong-password"), ("nobody-here", "hunter2hunter2"), ("without", "x")):
        body = {"user": user, "password": password, "token": True}
        said.add((await api.admin.call("POST", "/v1/login", body, expect=401))["detail"])
    assert said == {"this name and password are not known"}
    key = {"key": ann.key[:-1] + ("A" if ann.key[-1] != "A" else "B"), "token": True}
    await api.admin.call("POST", "/v1/login", key, expect=401)
    await api.admin.call("POST", "/v1/login", {"code": "hro_x", "token": True}, expect=401)
    failed = await audited(api, "login.failed")
    assert [(entry["actor"], entry["details"]["why"]) for entry in reversed(failed)] == [
        ("ann", "wrong password"),
        ("unknown user", "unknown name"),
        ("without", "no password"),
        ("ann", "unknown"),
        ("unknown user", "unknown"),
    ]
    assert failed[1]["key_id"] == (await ann.call("GET", "/v1/users/ann/keys"))["items"][0]["id"]
    assert all(entry["source_address"] == "127.0.0.1" for entry in failed)
    for secret in ("hunter2", "nobody-here", "wrong-password"):
        assert not any(secret in str(entry) for entry in failed)
    await ann.call("GET", "/v1/audit", expect=403)
    incomplete: tuple[dict[str, object], ...] = (
        {},
        {"user": "ann"},
        {"key": "a", "code": "b"},
        {"user": "ann", "password": "p", "key": "k"},
    )
    for wrong in incomplete:
        refused = await api.admin.call("POST", "/v1/login", wrong, expect=400)
        assert "key, or user and password, or code" in refused["detail"]


async def test_passwords_are_tried_a_few_times_only_at_all_managers_together(
    api: ManagerApi, ann: Api, pool: Pool, tmp_path: Path
) -> None:
    wrong = {"user": "ann", "password": "not her password", "token": True}
    right = wrong | {"password": PASSWORD}
    for _ in range(2):
        await api.admin.call("POST", "/v1/login", right)
    assert await pool.fetchval("select max(attempts) from login_attempts") == 0, "those that are right do not count"
    async with serving(pool, tmp_path / "second") as second:
        tries = [
            (api if number % 2 else second).admin.http.post("/v1/login", json=wrong)
            for number in range(MAX_TRIES_OF_NAME + 4)
        ]
        statuses = sorted(answer.status_code for answer in await asyncio.gather(*tries))
        assert statuses == [401] * MAX_TRIES_OF_NAME + [429] * 4
        for manager in (api, second):
            refused = await manager.admin.http.post("/v1/login", json=right)
            assert refused.status_code == 429, "also the right one"
            assert 0 < int(refused.headers["Retry-After"]) <= 300
        await second.admin.call("POST", "/v1/login", {"key": ann.key, "token": True})  # keys cannot be guessed
    await pool.execute("update login_attempts set began_at = began_at - interval '6 min'")
    await api.admin.call("POST", "/v1/login", right)
    subjects = [bytes(row["subject"]) for row in await pool.fetch("select subject from login_attempts")]
    assert len(subjects) == 2
    assert not any(b"ann" in subject for subject in subjects)


async def test_keys_that_are_guessed_are_limited_by_address(api: ManagerApi) -> None:
    wrong = {"key": "hr_" + "0" * 32 + "_" + "x" * 43, "token": True}
    statuses = [(await api.admin.http.post("/v1/login", json=wrong)).status_code for _ in range(21)]
    assert statuses == [401] * 20 + [429]


async def test_a_password_is_set_changed_and_taken_away(api: ManagerApi, ann: Api, browser: Browser) -> None:
    await browser.log_in(user="ann", password=PASSWORD)
    other = Browser(api.url)
    await other.log_in(user="ann", password=PASSWORD)
    path, new = "/v1/users/ann/password", "another long password"
    lacking = await browser.ask("PUT", path, {"password": new})
    assert (lacking.status_code, lacking.json()["errors"][0]["field"]) == (400, "current")
    wrong = await browser.ask("PUT", path, {"password": new, "current": "not her password"})
    assert (wrong.status_code, wrong.json()["errors"][0]["found"]) == (400, "another one")
    assert (await browser.ask("PUT", path, {"password": new, "current": PASSWORD})).status_code == 204
    assert await browser.whoami() == 200, "the login by which it was changed"
    assert await other.whoami() == 401
    await other.http.aclose()
    await api.admin.call("POST", "/v1/login", {"user": "ann", "password": PASSWORD, "token": True}, expect=401)

    bob = await api.user("bob")
    await bob.call("PUT", path, {"password": new}, expect=404)
    await bob.close()
    await ann.call("PUT", path, {"password": "by her endless key"})
    assert await browser.whoami() == 401
    await ann.call("PUT", path, {"password": None})
    assert not (await ann.call("GET", "/v1/whoami"))["user"]["has_password"]
    ending = await ann.call("POST", "/v1/users/ann/keys", {"expires_in_s": 3600})
    expiring = Api(api.url, ending["key"])
    assert "expires" in (await expiring.call("PUT", path, {"password": new}, expect=403))["detail"]
    await expiring.close()
    assert [entry["action"] for entry in await audited(api, "password.*")] == [
        "password.removed",
        "password.set",
        "password.set",
        "password.set",
    ]


async def test_a_read_only_key_sees_and_changes_nothing_nor_do_logins_that_come_from_it(
    api: ManagerApi, browser: Browser
) -> None:
    made = await api.admin.call("POST", "/v1/users/admin/keys", {"name": "monitor", "read_only": True})
    assert (made["read_only"], made["projects"]) == (True, None)
    reader = Api(api.url, made["key"])
    await api.admin.call("POST", "/v1/services", {"name": "a", "runtime": "cmd"})
    for path in ("/v1/services/a", "/v1/agents", "/v1/audit", "/v1/users/admin/keys"):
        await reader.call("GET", path)
    for method, path, body in (
        ("PATCH", "/v1/services/a", {"replicas": 2}),
        ("DELETE", "/v1/services/a", None),
        ("POST", "/v1/users/admin/keys", {}),
        ("PATCH", f"/v1/users/admin/keys/{made['id']}", {"read_only": False}),
        ("PUT", "/v1/users/admin/password", {"password": PASSWORD}),
        ("POST", "/v1/login-codes", None),
    ):
        refused = await reader.call(method, path, body, expect=403)
        assert refused["detail"] == "the API key that you use may only read"
    await browser.log_in(key=made["key"])
    assert (await browser.ask("GET", "/v1/login")).json()["read_only"] is True
    assert (await browser.ask("DELETE", "/v1/services/a")).status_code == 403
    assert (await browser.ask("DELETE", "/v1/login")).status_code == 204
    widened = await api.admin.call("PATCH", f"/v1/users/admin/keys/{made['id']}", {"read_only": None})
    assert widened["read_only"] is False
    await reader.call("PATCH", "/v1/services/a", {"replicas": 2})
    await reader.close()


async def test_a_key_for_projects_is_good_for_nothing_else_also_an_operator_s(api: ManagerApi) -> None:
    for name in ("red", "blue"):
        await api.admin.call("POST", "/v1/projects", {"name": name})
        await api.admin.call("POST", "/v1/services", {"name": f"{name}-service", "project": name, "runtime": "cmd"})
    made = await api.admin.call("POST", "/v1/users/admin/keys", {"projects": ["blue"]})
    assert made["projects"] == ["blue"]
    limited = Api(api.url, made["key"])
    assert (await limited.call("GET", "/v1/whoami")) | {"user": None} == {"user": None, "projects": {"blue": "owner"}}
    await limited.call("PATCH", "/v1/services/blue-service", {"replicas": 2})
    for method, path, body in (
        ("GET", "/v1/services/red-service", None),
        ("PATCH", "/v1/services/red-service", {"replicas": 2}),
        ("GET", "/v1/projects/red", None),
        ("POST", "/v1/services", {"name": "x", "project": "red", "runtime": "cmd"}),
    ):
        await limited.call(method, path, body, expect=404)
    for path in ("/v1/projects", "/v1/services"):
        assert [item["name"].partition("-")[0] for item in (await limited.call("GET", path))["items"]] == ["blue"]
    await limited.call("GET", "/v1/agents", expect=403)
    await limited.call("POST", "/v1/users/admin/keys", {}, expect=403)
    await limited.call("PUT", "/v1/users/admin/password", {"password": PASSWORD}, expect=403)
    code = await limited.call("POST", "/v1/login-codes")
    login = await limited.call("POST", "/v1/login", {"code": code["code"], "token": True})
    by_code = Api(api.url, login["token"])
    await by_code.call("GET", "/v1/services/red-service", expect=404)
    await by_code.close()
    await api.admin.call("DELETE", "/v1/services/blue-service")
    await api.admin.call("DELETE", "/v1/projects/blue")
    (gone,) = [k for k in (await api.admin.call("GET", "/v1/users/admin/keys"))["items"] if k["id"] == made["id"]]
    assert gone["projects"] == [], "limited to nothing, not unlimited"
    assert (await limited.call("GET", "/v1/projects"))["items"] == []
    await limited.close()
    await api.admin.call("POST", "/v1/users/admin/keys", {"projects": ["nothing-here"]}, expect=404)


async def test_a_hundred_logins_of_a_user_are_kept_those_used_last(api: ManagerApi) -> None:
    await api.pool.execute(
        "insert into logins (id, user_id, secret_hash, form, method, last_used_at, ends_at)"
        " select gen_random_uuid(), id, decode(repeat('00', 32), 'hex'), 'token', 'key', now() - n * interval '1 min',"
        " now() + interval '1 h' from users, generate_series(1, 100) n where name = 'admin'"
    )
    await api.admin.call("POST", "/v1/login", {"key": api.admin.key, "token": True})
    rows = await api.pool.fetch("select last_used_at < now() - interval '99.5 min' as oldest from logins")
    assert len(rows) == 100
    assert not any(row["oldest"] for row in rows)


async def test_a_login_over_a_network_in_the_clear_is_refused_unless_the_host_is_allowed(
    pool: Pool, tmp_path: Path
) -> None:
    for settings, status in (({}, 403), ({"insecure_console": ("ml.lan",)}, 204)):
        async with serving(pool, tmp_path, **settings) as api:
            browser = Browser(api.url, origin="http://ml.lan:8080")
            browser.http.headers["Host"] = "ml.lan:8080"
            answer = await browser.ask("POST", "/v1/login", {"key": api.admin.key})
            assert answer.status_code == status, answer.text
            if status == 403:
                assert "in the clear" in answer.json()["detail"]
            else:
                (cookie,) = answer.headers.get_list("Set-Cookie")
                assert cookie.startswith(f"{PLAIN_COOKIE}=")
            await browser.http.aclose()


async def test_the_command_line_logs_in_by_password_changes_it_and_logs_out(
    api: ManagerApi, ann: Api, tmp_path: Path
) -> None:
    home = tmp_path / "home"

    async def types(*words: str, given: str = "", code: int = 0) -> str:
        session = Session(Config({"HOME": str(home)}))
        ran = await asyncio.to_thread(CliRunner().invoke, build(), list(words), obj=session, input=given)
        session.close()
        assert ran.exit_code == code, f"{words}: {ran.output} {ran.exception!r}"
        return ran.output

    await types("login", "--url", api.url, "--user", "ann", given="not her password\n", code=1)
    shown = await types("login", "--url", api.url, "--user", "ann", given=f"{PASSWORD}\n")
    assert PASSWORD not in shown
    file = home / ".config" / "headrace" / "config.json"
    token = json.loads(file.read_text())["key"]
    assert (LOGIN.parse(token) is not None, file.stat().st_mode & 0o777) == (True, 0o600)
    assert json.loads(await types("user", "logins", "ann", "--json"))[0]["current"] is True
    new = "another long password"
    assert "has a new password" in await types("user", "password", "ann", given=f"{new}\n{PASSWORD}\n")
    other = await api.admin.call("POST", "/v1/login", {"user": "ann", "password": new, "token": True})
    await types("user", "end-login", "ann", other["id"])
    assert len(json.loads(await types("user", "logins", "ann", "--json"))) == 1
    link = json.loads(await types("console", "--json"))["url"]
    assert link.startswith(f"{api.url}/console/login#code=hro_")
    await types("user", "key", "ann", "--read-only", "--project", "default")
    assert "see, in default" in await types("user", "keys", "ann")
    assert json.loads(await types("logout", "--json")) == {"logged_out": True}
    assert not file.exists()
    program = Api(api.url, token)
    await program.call("GET", "/v1/whoami", expect=401)
    await program.close()
    assert await api.pool.fetchval("select count(*) from logins") == 0


async def test_a_disabled_user_is_refused_at_once_everywhere_and_what_the_user_owns_stays(api: ManagerApi) -> None:
    call = api.admin.call
    ann = await api.user("ann", default="member")
    await ann.call("POST", "/v1/services", {"name": "hers", "runtime": "cmd", "image": "img", "replicas": 0})
    await call("PUT", "/v1/users/ann/password", {"password": PASSWORD})
    by_password = {"user": "ann", "password": PASSWORD, "token": True}
    http = httpx.AsyncClient(verify=False, base_url=api.url, timeout=60)
    token = (await http.post("/v1/login", json=by_password)).json()["token"]
    login = Api(api.url, token)
    await login.call("GET", "/v1/whoami")
    code = (await ann.call("POST", "/v1/login-codes"))["code"]
    seen = await call("PATCH", "/v1/users/ann", {"disabled": True})
    assert (seen["disabled"], seen["disabled_at"] is not None) == (True, True)
    said = "this user is disabled; an operator can end that"
    assert (await ann.call("GET", "/v1/whoami", expect=401))["detail"] == said
    await login.call("GET", "/v1/whoami", expect=401)
    for body in (by_password, {"code": code, "token": True}, {"key": ann.key, "token": True}):
        refused = await http.post("/v1/login", json=body)
        assert refused.status_code == 401, body
    wrong = await http.post("/v1/login", json={**by_password, "password": "another password"})
    assert wrong.json()["detail"] == "this name and password are not known", (
        "only who knows it hears that it is disabled"
    )
    failed = (await call("GET", "/v1/audit?action=login.failed"))["items"]
    assert [event["details"]["why"] for event in failed].count("disabled") == 2
    assert (await call("GET", "/v1/services/hers"))["created_by"] == "ann"
    again = await call("PATCH", "/v1/users/ann", {"disabled": True})
    assert again["disabled_at"] == seen["disabled_at"], "since the first time"
    await call("PATCH", "/v1/users/ann", {"operator": True})
    assert [user["disabled"] for user in (await call("GET", "/v1/users"))["items"] if user["name"] == "ann"] == [True]
    for change in ({"disabled": True}, {"operator": False}):
        last = await call("PATCH", "/v1/users/admin", change, expect=409)
        assert "admin is the last operator" in last["detail"], "ann cannot act"
    await call("PATCH", "/v1/users/ann", {"disabled": None})
    await ann.call("GET", "/v1/whoami")
    await login.call("GET", "/v1/whoami", expect=401)
    await call("PATCH", "/v1/users/admin", {"disabled": True})
    await call("GET", "/v1/whoami", expect=401)
    first = (await ann.call("GET", "/v1/audit?action=user.updated"))["items"][-1]
    assert first["details"] == {"user": "ann", "ended_logins": 1}
    assert (first["before"]["disabled_at"], first["after"]["disabled_at"]) == (None, seen["disabled_at"])
    for client in (ann, login):
        await client.close()
    await http.aclose()
