"""Palette and single keys: to pages, things and rows without a mouse, and off where somebody wants them off."""

from __future__ import annotations

import pytest

from tests.integration.console.conftest import enter
from tests.support.console import Console
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi

pytestmark = pytest.mark.timeout(180)


async def _at(page: Console, path: str) -> None:
    """Wait until the page is at the path."""

    async def there() -> bool:
        return bool(await page.run(f"location.pathname === '/console{path}'"))

    await eventually(there, what=f"the page is at {path}")


async def test_keys_go_to_pages_and_things_and_are_turned_off(api: ManagerApi, page: Console) -> None:
    await api.admin.call("POST", "/v1/services", {"name": "rivers", "runtime": "cmd", "image": "img"})
    await enter(api, page)
    await page.sees("rivers")
    await page.key("j")
    assert await page.run("document.activeElement.textContent") == "rivers", "the first row of the list"
    await page.key("k", control=True)
    await page.sees("Go to a page or thing")
    await page.type("rive")
    await page.sees("Service · default")
    await page.key("Enter")
    await _at(page, "/services/rivers")
    await page.key("g")
    await page.key("p")
    await _at(page, "/projects")
    await page.key("?")
    await page.sees("Single letters are keys")
    await page.run("find('Single letters are keys', 'input').click()")
    await page.press("Close")
    await page.unsees("Single letters are keys")
    await page.key("g")
    await page.key("u")
    await page.key("k", control=True)
    await page.sees("Go to a page or thing")
    await _at(page, "/projects")
    assert await page.faults() == []
