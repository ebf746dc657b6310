"""How much the console costs a browser: bytes of its first page, and seconds of its main thread, of which others on a busy machine take none."""

from __future__ import annotations

import gzip
from statistics import median

import pytest

from tests.integration.console.conftest import enter
from tests.support import many_rows
from tests.support.console import ROOT, Console
from tests.support.worlds.manager_api import ManagerApi

FIRST_SCRIPT_BYTES = 180_000
FIRST_STYLE_BYTES = 15_000
FIRST_PAGE_S = 1.5 / 4
"""CPU of the thread until the first page is there: 1.5 s of a processor that is four times slower."""
SERVICES = 1000
FRAME_S = 0.05
MOST_FRAME_S = 4 * FRAME_S
"""A single one: where others take the processor's caches the same work takes up to four times as long."""
LINES = 10_000
LINE_S = 0.000_2
"""CPU of a line of a log that is followed: 2,000 a second leave more than half of the thread."""

pytestmark = pytest.mark.timeout(240)


async def test_bytes_and_work_of_the_first_page(api: ManagerApi, page: Console) -> None:
    await enter(api, page)
    names = await page.run(
        "performance.getEntriesByType('resource').map((one) => new URL(one.name).pathname).filter((name) => name.includes('/assets/'))"
    )
    assets = ROOT / "build" / "console" / "assets"
    packed = {name: len(gzip.compress((assets / name.rpartition("/")[2]).read_bytes())) for name in set(names)}
    assert 0 < sum(size for name, size in packed.items() if name.endswith(".js")) <= FIRST_SCRIPT_BYTES
    assert 0 < sum(size for name, size in packed.items() if name.endswith(".css")) <= FIRST_STYLE_BYTES
    assert await page.thread_s() <= FIRST_PAGE_S


async def test_a_list_of_a_thousand_services_is_scrolled_in_short_frames(api: ManagerApi, page: Console) -> None:
    await many_rows.services(api.pool, await many_rows.owner(api.pool), SERVICES)
    await enter(api, page)
    await page.sees("1,000 services")
    list_ = "document.querySelector('section[tabindex]')"
    frames: list[float] = []
    at = 0
    before = await page.thread_s()
    while at < await page.run(f"{list_}.scrollHeight - {list_}.clientHeight") and len(frames) < 300:
        at += 400
        await page.run(
            f"new Promise((drawn) => {{ {list_}.scrollTop = {at}; requestAnimationFrame(() => requestAnimationFrame(drawn)); }})"
        )
        now = await page.thread_s()
        frames.append(now - before)
        before = now
    assert len(frames) > SERVICES * 45 / 400 * 0.9, "all were scrolled through"
    assert median(frames) <= FRAME_S
    assert max(frames) <= MOST_FRAME_S, [f for f in frames if f > FRAME_S]
    assert await page.run(f"{list_}.querySelectorAll('tr').length") < 100, "rows that are not seen are not there"


async def test_a_log_of_ten_thousand_lines_is_shown_and_followed(api: ManagerApi, page: Console) -> None:
    await api.admin.call("POST", "/v1/services", {"name": "rivers", "runtime": "cmd", "image": "img"})
    _, kernel = await api.runs("rivers")
    api.behind.logs[kernel] = [f"2026-11-30T10:00:00.000000000Z line {number} of the log" for number in range(LINES)]
    await enter(api, page, path="/services/rivers/logs")
    await page.sees(f"line {LINES - 1} of the log")
    before = await page.thread_s()
    for batch in range(20):
        for number in range(200):
            await api.behind.say(kernel, f"2026-11-30T10:00:01.000000000Z more {batch * 200 + number}")
    await page.sees("more 3999")
    assert await page.thread_s() - before <= 4000 * LINE_S
    assert await page.faults() == []
