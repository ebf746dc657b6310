"""What the console shows when parts are away or other than they were, and that nothing typed is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.common.db.pool import Pool
from tests.integration.console.conftest import enter
from tests.support.console import ROOT, Console, built_console
from tests.support.ports import free_port
from tests.support.worlds.manager_api import ManagerApi, serving

pytestmark = pytest.mark.timeout(120)


async def test_a_manager_that_restarts_is_said_and_what_is_typed_stays(
    pool: Pool, tmp_path: Path, page: Console
) -> None:
    await built_console()
    settings = {"console_dir": ROOT / "build" / "console"}
    port = free_port()
    async with serving(pool, tmp_path, port=port, **settings) as api:
        await enter(api, page, path="/services/new")
        await page.fill("Name", "half-typed")
        await page.sees("Live")
    await page.sees("Not live")
    assert await page.value("Name") == "half-typed"
    async with serving(pool, tmp_path, port=port, **settings):
        await page.sees("Live", within_s=60)
        assert "Not live" not in await page.text()
    assert await page.value("Name") == "half-typed"


async def test_an_ended_login_is_renewed_over_the_page(api: ManagerApi, page: Console) -> None:
    await enter(api, page, path="/services/new")
    await page.fill("Name", "half-typed")
    await api.pool.execute("delete from logins")
    await page.fill("CPUs", "1")  # the page asks what that comes to
    await page.sees("Your login has ended")
    await page.fill("API key", api.admin.key)
    await page.press("Log in")
    await page.unsees("Your login has ended")
    assert await page.value("Name") == "half-typed"


async def test_a_newer_manager_is_told_and_the_page_stays(api: ManagerApi, page: Console) -> None:
    await enter(api, page, path="/services/new")
    await page.fill("Name", "half-typed")
    await page.run("dispatchEvent(new Event('vite:preloadError'))")
    await page.sees("Headrace was updated.")
    assert await page.value("Name") == "half-typed"
    await page.press("Reload")
    await page.settled()
    await page.unsees("Headrace was updated.")


async def test_a_bus_that_is_away_is_said_where_it_matters(api: ManagerApi, page: Console) -> None:
    """Logs cannot be read then; all else can."""
    await api.admin.call("POST", "/v1/services", {"name": "rivers", "runtime": "cmd", "image": "img"})
    _, kernel = await api.runs("rivers")
    api.behind.logs[kernel] = ["2026-11-30T10:00:00.000000000Z hello"]
    await enter(api, page, path="/services/rivers/logs")
    await page.sees("hello")
    await api.behind.falls_silent("agent-1")
    await page.open(f"{api.url}/console/services/rivers/logs")
    await page.sees("does not answer")
    await page.press("Overview")
    await page.sees("agent-1")
    assert await page.faults() == []
