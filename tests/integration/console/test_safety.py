"""Attacks on those who use the console, each tried in a browser: by other pages, by foreign text, and by who is let in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.integration.console.conftest import enter
from tests.support.console import Console
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi

SCRIPT = "<img src=x onerror='window.broken_in=1'><script>window.broken_in=1</script>"
MEMBERS_OWN = {
    "New service",
    "New folder",
    "Stop",
    "Start",
    "Delete",
    "New token",
    "Restart",
    "Roll back",
    "Upload",
    "Run it",
}
"""Buttons of changes."""

pytestmark = pytest.mark.timeout(120)


@asynccontextmanager
async def elsewhere(content: str) -> AsyncIterator[str]:
    """A page of somebody else on another port of this host, as a model's endpoint is one."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html><title>elsewhere</title>{content}", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


async def names(api: ManagerApi, what: str) -> list[str]:
    return [one["name"] for one in (await api.admin.call("GET", f"/v1/{what}"))["items"]]


async def test_another_page_neither_changes_nor_reads_with_the_login(api: ManagerApi, page: Console) -> None:
    """Forms, calls with and without a preflight, and reads, from a page on another port, to which the cookie is sent."""
    await enter(api, page)
    before = await names(api, "projects")
    form = f"""<form method=post enctype="text/plain" action="{api.url}/v1/projects"><input name='{{"name":"mine","a":"' value='"}}'></form>"""
    async with elsewhere(form) as url:
        await page.open(url)
        body = json.dumps({"name": "mine"})
        for headers in ("{}", "{'X-Headrace-Console': '1', 'Content-Type': 'application/json'}"):
            for mode in ("cors", "no-cors"):
                answer = await page.run(
                    f"fetch('{api.url}/v1/projects', {{method: 'POST', credentials: 'include', mode: '{mode}', body: {body!r}, headers: {headers}}})"
                    ".then((answer) => answer.status, () => 'refused')"
                )
                assert answer in {"refused", 0}, (headers, mode)
        read = f"fetch('{api.url}/v1/services', {{credentials: 'include'}}).then((answer) => answer.text(), () => 'refused')"
        assert await page.run(read) == "refused"
        await page.run("document.forms[0].submit()")
        await page.sees("origin")
    assert await names(api, "projects") == before
    await page.open(f"{api.url}/console/services")
    await page.sees("Services")


async def test_no_page_frames_the_console(api: ManagerApi, page: Console) -> None:
    await enter(api, page)
    async with elsewhere(f'<iframe src="{api.url}/console/services"></iframe>') as url:
        await page.open(url)

        async def refused() -> bool:
            return await page.framed() == ["refused"]

        await eventually(refused, what="the frame is refused")


async def test_foreign_text_stays_text(api: ManagerApi, page: Console) -> None:
    """Script in a description, a revision's message, a file's name, and a log."""
    await api.admin.folder("rivers", {"a<img src=x onerror=window.broken_in=1>.txt": "x"})
    body = {"name": "rivers", "runtime": "cmd", "image": "img", "description": SCRIPT, "replicas": 1}
    await api.admin.call("POST", "/v1/services", body)
    await api.admin.call("PATCH", "/v1/services/rivers", {"tags": ["a"], "message": SCRIPT})
    _, kernel = await api.runs("rivers")
    api.behind.logs[kernel] = [
        f"2026-11-30T10:00:00.000000000Z {SCRIPT} \x1b]8;;javascript:alert(1)\x07here\x1b[31mred"
    ]
    await enter(api, page)
    seen = {
        "/services/rivers": "Endpoint",
        "/services/rivers/logs": "<script>",
        "/services/rivers/history": "<script>",
        "/folders/rivers": "onerror",
    }
    for path, text in seen.items():
        await page.open(f"{api.url}/console{path}")
        await page.settled()
        await page.sees(text)
        assert await page.run("window.broken_in ?? null") is None, path
        assert await page.run("document.querySelectorAll('main img, main script').length") == 0, path
        assert await page.run("[...document.links].filter((one) => one.protocol === 'javascript:').length") == 0, path
        assert await page.faults() == [], path


async def test_a_login_leads_to_no_other_site_and_is_new(api: ManagerApi, page: Console) -> None:
    """Whatever the address asks for; and a login that somebody put into the browser before is not the one that is used."""
    await page.open(f"{api.url}/console/")
    planted = "headrace_login=" + "a" * 43
    await page.run(f"document.cookie = {planted + '; path=/'!r}")
    code = (await api.admin.call("POST", "/v1/login-codes", {}))["code"]
    for address in (
        "//evil.example/",
        "/%2f%2fevil.example/?to=https://evil.example&next=//evil.example",
        "/\\evil.example/",
    ):
        await page.open(f"{api.url}/console{address}#code=used")
        assert await page.run("location.origin") == api.url
    await page.open(f"{api.url}/console/login?to=//evil.example#code={code}")
    await page.sees("Services")
    assert await page.run("location.origin") == api.url
    assert planted not in {one.split(";")[0] for one in await page.cookies() if one.endswith("HttpOnly")}


async def test_a_stolen_cookie_is_worth_nothing_after_the_logout(api: ManagerApi, page: Console) -> None:
    await enter(api, page)
    stolen = [one.split(";")[0] for one in await page.cookies() if "headrace_login" in one]
    assert stolen, "the login is a cookie"
    assert "headrace_login" not in await page.run("document.cookie"), "no script reads it"
    headers = {"Cookie": "; ".join(stolen), "Authorization": ""}
    assert (await api.admin.http.get("/v1/login", headers=headers)).status_code == 200
    await page.press("admin")
    await page.press("Log out")
    await page.sees("API key")
    assert (await api.admin.http.get("/v1/login", headers=headers)).status_code == 401


async def test_a_viewer_is_offered_no_change_and_makes_none_by_hand(api: ManagerApi, page: Console) -> None:
    await api.admin.call("POST", "/v1/services", {"name": "rivers", "runtime": "cmd", "image": "img"})
    await api.admin.folder("rivers", {"README.md": "x"})
    viewer = await api.user("ann", default="viewer")
    await enter(api, page, viewer)
    for path in ("/services", "/services/rivers", "/services/rivers/history", "/folders", "/folders/rivers"):
        await page.open(f"{api.url}/console{path}")
        await page.settled()
        buttons = await page.run(
            "[...document.querySelectorAll('main button, main a')].map((one) => one.textContent.trim())"
        )
        assert not MEMBERS_OWN & set(buttons), path
    asked = "fetch('/v1/services/rivers/stop', {method: 'POST', headers: {'X-Headrace-Console': '1'}}).then((answer) => answer.status)"
    assert await page.run(asked) == 403
    assert (await api.admin.call("GET", "/v1/services/rivers"))["phase"] == "deploying"
