"""The main tasks by the keyboard alone: log in, make a service, read its logs, stop it, make a token, delete it."""

from __future__ import annotations

import pytest

from tests.support.console import Console
from tests.support.factories.installation import DEFINITION
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi

pytestmark = pytest.mark.timeout(180)


async def test_a_service_is_made_read_stopped_and_deleted_without_a_mouse(api: ManagerApi, page: Console) -> None:
    await api.admin.folder("rivers", {"model-definition.yaml": DEFINITION})
    await page.open(f"{api.url}/console/")
    await page.sees("API key")
    await page.type(api.admin.key)  # the focus is there
    await page.key("Enter")
    await page.sees("New service")

    await page.tab_to("New service")
    await page.key("Enter")
    await page.sees("What it comes to")
    await page.tab_to("Name")
    await page.type("rivers")
    await page.tab_to("Folder")
    await page.key("ArrowDown")
    await page.sees("Effective values")
    await page.tab_to("Create service")
    await page.key("Enter")
    await page.sees("Endpoint")

    _, kernel = await api.runs("rivers")
    api.behind.logs[kernel] = ["2026-11-30T10:00:00.000000000Z the source of the river"]
    await page.tab_to("Logs")
    await page.key("Enter")
    await page.sees("the source of the river")
    await page.tab_to("Access")
    await page.key("Enter")
    await page.sees("New token")
    await page.tab_to("New token")
    await page.key("Enter")
    await page.sees("Make token")
    await page.tab_to("Name")
    await page.type("me")
    await page.key("Enter")
    await page.sees("This is shown once.")
    await page.tab_to("I have kept it")
    await page.key("Enter")
    await page.unsees("This is shown once.")

    async def back() -> bool:
        return bool(await page.run("document.activeElement.textContent") == "New token")

    await eventually(back, what="the focus is where it was before the dialogs")

    await page.tab_to("Stop")
    await page.key("Enter")
    await page.sees("Stop rivers")
    await page.tab_to("Stop")
    await page.key("Enter")
    await page.sees("Start")
    assert await page.faults() == []
    assert (await api.admin.call("GET", "/v1/services/rivers"))["phase"] in {"stopping", "stopped"}
    assert [one["name"] for one in (await api.admin.call("GET", "/v1/services/rivers/tokens"))["items"]] == ["me"]
