"""Projects and people in the web console, in a browser against a running stack: as an operator, and as a viewer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console import Console, built_console, console
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]


async def _enter(page: Console, stack: Stack, path: str, key: str) -> None:
    """Log in by an API key, at the wanted address."""
    await page.open(f"{stack.api.url}/console{path}")
    await page.fill("API key", key)
    await page.press_enter()


async def test_a_project_is_made_limited_and_shared_and_a_viewer_is_offered_no_change(
    stack: Stack, tmp_path: Path
) -> None:
    """Project, quota, member, secret and token by the browser alone; the viewer sees them and cannot change them."""
    await built_console()
    await stack.api.call("POST", "/v1/users", {"name": "console-viewer"})
    key = (await stack.api.call("POST", "/v1/users/console-viewer/keys", {"name": "browser"}))["key"]
    (tmp_path / "operator").mkdir()
    (tmp_path / "viewer").mkdir()
    async with console(tmp_path / "operator") as page:
        await _enter(page, stack, "/projects", stack.api.key)
        await page.press("New project")
        await page.fill("Name", "herons")
        await page.press("Make project")
        await page.press("Change limits")
        await page.fill("cuda.device", "6")
        await page.press("Save")
        await page.sees("0\t6")
        await page.press("Members")
        await page.press("Add member")
        await page.fill("User", "console-viewer")
        await page.choose("Role", "viewer")
        await page.press("Add")
        await page.sees("console-viewer")
        await page.press("Secrets")
        await page.press("New secret")
        await page.fill("Name", "hub")
        await page.fill("Value", "never-shown-again")
        await page.press("Save")
        await page.sees("hub\t1")
        await page.press("Tokens")
        await page.press("New token")
        await page.fill("Name", "web-shop")
        await page.press("Make token")
        await page.sees("This is shown once.")
        await page.press("I have kept it")
        await page.sees("web-shop")
        kept = (
            "[document.body.innerHTML, location.href, ...Object.values(localStorage), ...Object.values(sessionStorage)]"
        )
        assert "never-shown-again" not in await page.run(f"{kept}.join()")
        await page.choose("Project", "herons")
        await page.press("Services")
        await page.sees("No service runs here yet.")
        assert "project=herons" in await page.run("location.search"), "the chosen project stays in the address"
        assert await page.faults() == []
    async with console(tmp_path / "viewer") as page:
        await _enter(page, stack, "/projects/herons/members", key)
        await page.sees("console-viewer")
        offered = ("Add member", "Remove", "Edit", "Webhooks", "New project", "Machines", "Users")
        assert [name for name in offered if await page.offers(name)] == []
        await page.press("Secrets")
        await page.sees("hub")
        assert not await page.offers("New secret")
        assert await page.faults() == []
    project = await stack.api.call("GET", "/v1/projects/herons")
    assert project["quota"] == {"cuda.device": "6"}
    await stack.api.call("DELETE", "/v1/projects/herons")


async def test_a_user_gets_a_key_is_disabled_and_the_audit_log_has_both(stack: Stack, tmp_path: Path) -> None:
    """User, key and its end by the browser alone; the change is found in the audit log with what was before and after."""
    await built_console()
    async with console(tmp_path) as page:
        await _enter(page, stack, "/users", stack.api.key)
        await page.press("New user")
        await page.fill("Name", "console-heron")
        await page.press("Make user")
        await page.press("New key")
        await page.fill("Name", "laptop")
        await page.press("Make key")
        await page.sees("This is shown once.")
        key = await page.run("document.querySelector('[role=dialog] code').textContent")
        await page.press("I have kept it")
        answer = await stack.api.http.get("/v1/whoami", headers={"Authorization": f"Bearer {key}"})
        assert answer.json()["user"]["name"] == "console-heron"
        await page.press("Disable")
        await page.sees("Disable console-heron?")
        await page.press("Disable")
        await page.sees("Keys, password and logins of this user are refused.")
        answer = await stack.api.http.get("/v1/whoami", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 401
        await page.press("Audit")
        await page.fill("Action, service.*", "user.updated")
        await page.sees("console-heron")
        await page.press("user.updated")
        await page.sees("disabled")
        assert "entry=" in await page.run("location.search"), "the change that is shown is in the address"
        await page.press("Close")
        assert await page.faults() == []
    await stack.api.call("PATCH", "/v1/users/console-heron", {"disabled": False})
    shown = await stack.api.http.get("/v1/users/console-heron", headers={"Authorization": f"Bearer {key}"})
    assert shown.json()["name"] == "console-heron", "everybody may see themselves"
