"""The console's pages of a service in a browser, against a running stack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.console import Console, built_console, console
from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(400)]

NAME = "herons"
SERVICE = f"/v1/services/{NAME}"


@pytest_asyncio.fixture(loop_scope="session")
async def page(stack: Stack, tmp_path: Path) -> AsyncIterator[Console]:
    """A service of one simulated engine that is healthy, and a browser that is logged in."""
    await built_console()
    await stack.engine_service(NAME, replicas=1, environ={"COLOUR": "grey"}, description="wading birds")
    await eventually(lambda: healthy(stack), within_s=60, what="the service is healthy")
    async with console(tmp_path) as page:
        await page.enter(stack.api)
        await page.sees(NAME)
        await page.press(NAME)
        await page.sees("Endpoint")
        yield page
    await stack.api.call("DELETE", SERVICE)
    await eventually(lambda: gone(stack), within_s=60, what="the service is gone")


async def healthy(stack: Stack) -> bool:
    return bool((await stack.api.call("GET", SERVICE))["status"] == "healthy")


async def gone(stack: Stack) -> bool:
    return (await stack.api.http.get(SERVICE)).status_code == 404


async def test_settings_show_their_effect_and_overwrite_nobody(stack: Stack, page: Console) -> None:
    """A live and a rolled out value with their effect; somebody else's change is shown, and leaving asks."""
    await page.press("Settings")
    await page.fill("Description", "birds of rivers")
    await page.fill("Variables", "COLOUR=white")
    await page.sees("Takes effect at once, without a restart:")
    await page.sees("Rolls out revision 2, without downtime:")
    await page.sees("environ.COLOUR")
    await stack.api.call("PATCH", SERVICE, {"description": "birds of lakes"})
    await page.press("Roll out revision 2")
    await page.sees("Changed by somebody else meanwhile")
    await page.sees("birds of lakes")
    await page.press("Overview")
    await page.sees("Leave without saving?")
    await page.press("Stay")
    await page.press("Keep mine")
    await page.fill("Message", "paint them")
    await page.press("Roll out revision 2")
    await page.sees("Nothing was changed.")
    service: dict[str, Any] = await stack.api.call("GET", SERVICE)
    revision: dict[str, Any] = await stack.api.call("GET", f"{SERVICE}/revisions/2")
    assert service["description"] == "birds of rivers"
    assert (revision["spec"]["environ"], revision["message"]) == ({"COLOUR": "white"}, "paint them")
    await page.fill("Description", "")
    await page.press("Save")
    await page.sees("Nothing was changed.")
    assert (await stack.api.call("GET", SERVICE))["description"] == ""
    assert await page.faults() == []


async def test_revisions_are_compared_and_rolled_back_to_with_the_shown_effect(stack: Stack, page: Console) -> None:
    """Two revisions field by field, the receipt of the rollout, and the way back with a message."""
    spec = stack.engine_spec(NAME, environ={"COLOUR": "white"})
    await stack.api.call("PATCH", SERVICE, {"spec": spec})
    await page.press("History")
    await page.sees("running")
    await page.press("Compare")
    await page.sees("environ.COLOUR")
    await page.sees("Replicas replaced", within_s=60)
    assert "from=1&to=2" in await page.run("location.search")
    await page.press("Roll back to this")
    await page.sees("Of the effective values these change:")
    await page.fill("Message", "grey again")
    await page.press("Roll back to revision 1")
    await page.sees("grey again")
    back: dict[str, Any] = await stack.api.call("GET", f"{SERVICE}/revisions/3")
    assert (back["spec"]["environ"], back["message"]) == ({"COLOUR": "grey"}, "grey again")
    assert await page.faults() == []


async def test_a_replica_shows_its_phases_and_its_log_and_is_replaced(stack: Stack, page: Console) -> None:
    """Beside the page: seconds of each phase, the end of the log, a weight, and another one in its place."""
    (replica,) = (await stack.api.call("GET", SERVICE))["replica_list"]
    await page.press(replica["id"][-8:])
    await page.sees("Waiting for a machine")
    await page.sees("Serving")
    await page.sees("End of its log")
    await page.fill("Weight", "50")
    await page.press("Set weight")

    async def weighs() -> bool:
        return bool((await stack.api.call("GET", f"{SERVICE}/replicas/{replica['id']}"))["weight"] == 50)

    await eventually(weighs, within_s=10, what="the replica's weight is 50")
    await page.press("Replace")
    await page.sees("Another one takes its place.")
    assert await page.faults() == []


async def test_a_rule_is_a_sentence_with_what_it_saw_last(stack: Stack, page: Console) -> None:
    """A refused field, a rule that is made, its last value and why, its switch."""
    await page.press("Scaling")
    await page.sees("No rule changes the number of replicas.")
    await page.press("New rule")
    await page.fill("Threshold", "many")
    await page.fill("Most replicas", "3")
    await page.press("Create rule")
    await page.sees("allowed: a number")
    await page.fill("Threshold", "4")
    await page.press("Create rule")
    await page.sees("When headrace_in_flight is > 4: + 1 within 1 … 3 replicas, then 5 m of rest")
    await page.sees("0, threshold 4", within_s=60)
    await page.check("On")
    await page.sees("Switched off.")
    (rule,) = (await stack.api.call("GET", f"{SERVICE}/rules"))["items"]
    assert (rule["spec"]["enabled"], rule["spec"]["threshold"]) == (False, 4)
    assert await page.faults() == []
