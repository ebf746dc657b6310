"""A manager with the built console, and a browser; the database is real, agents and app-proxies are not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace.common.db.pool import Pool
from tests.support.api import Api
from tests.support.console import ROOT, Console, built_console, console
from tests.support.worlds.manager_api import ManagerApi, serving


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[ManagerApi]:
    """The API and the console on a fresh database."""
    await built_console()
    async with serving(pool, tmp_path, console_dir=ROOT / "build" / "console") as running:
        yield running


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Console]:
    """A browser in which nobody is logged in."""
    async with console(tmp_path) as opened:
        yield opened


async def enter(api: ManagerApi, page: Console, caller: Api | None = None, path: str = "/services") -> None:
    """Log in by a link, as the first operator or another user, and open a page."""
    await page.enter(caller or api.admin)
    await page.open(f"{api.url}/console{path}")
    await page.settled()
