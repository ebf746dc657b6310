"""Every page of the console in a browser: accessible, within the window, quiet; light and dark, wide and narrow."""

from __future__ import annotations

import pytest

from tests.integration.console.conftest import enter
from tests.support.console import Console, installed_axe
from tests.support.console_pages import PAGES
from tests.support.factories.installation import something_of_each
from tests.support.worlds.manager_api import ManagerApi

WINDOWS = ((1440, 900, "light"), (360, 740, "dark"))

pytestmark = pytest.mark.timeout(300)


async def _gone_through(api: ManagerApi, page: Console) -> list[str]:
    """Open all pages in all windows and return what is wrong with them."""
    wrong = []
    for width, height, theme in WINDOWS:
        await page.shows(width, height, theme)
        for path in PAGES.values():
            await page.open(f"{api.url}/console{path}")
            await page.settled()
            found = [*await page.inaccessible(), *await page.faults()]
            wrong += [f"{path} at {width} px, {theme}: {one}" for one in found]
    return wrong


async def test_no_page_breaks_accessibility_or_leaves_its_window(api: ManagerApi, page: Console) -> None:
    await installed_axe()
    await something_of_each(api)
    await enter(api, page)
    assert await _gone_through(api, page) == []


async def test_pages_of_an_empty_installation_neither(api: ManagerApi, page: Console) -> None:
    await installed_axe()
    await enter(api, page)
    assert await _gone_through(api, page) == []
