"""The web console in a browser, against a running stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.console import ROOT, built_console, console
from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]


async def test_from_nothing_to_a_models_answer_by_the_browser_alone(stack: Stack, tmp_path: Path) -> None:
    """Login, folder, upload, service, token, chat; live; nothing of the page is refused or asked elsewhere."""
    await built_console()
    async with console(tmp_path) as page:
        code = await page.enter(stack.api)
        assert code not in await page.run("location.href"), "the code is in no address any more"
        assert (
            await page.run(
                "[document.cookie, ...Object.values(localStorage), ...Object.values(sessionStorage)].join('')"
            )
            == ""
        )
        await page.press("Folders")
        await page.press("New folder")
        await page.fill("Name", "rivers")
        await page.press("Make folder")
        await page.sees("Nothing is in here.")
        await page.choose_files("input[webkitdirectory]", [ROOT / "examples" / "chat-simulated"])
        await page.sees("3 of 3 files")
        await page.press("Run it")
        await page.sees("Effective values")
        await page.press("Create service")
        await page.sees("1 of 1 replicas healthy", within_s=60)
        await page.sees("Live")
        await page.press("Access")
        await page.press("New token")
        await page.fill("Name", "me")
        await page.press("Make token")
        await page.sees("This is shown once.")
        await page.press("I have kept it")
        await page.sees("in 29 d")
        await page.press("Chat")
        await page.fill("Message", "Tell me of rivers")
        await page.press("Send")
        await page.sees("tokens/s", within_s=60)
        assert await page.faults() == []
    tokens = (await stack.api.call("GET", "/v1/services/rivers/tokens"))["items"]
    assert [token["name"] for token in tokens] == ["me"]
    await stack.api.call("DELETE", "/v1/services/rivers")

    async def gone() -> bool:
        return (await stack.api.http.get("/v1/services/rivers")).status_code == 404

    await eventually(gone, within_s=60)
    await stack.api.call("DELETE", "/v1/folders/rivers")
