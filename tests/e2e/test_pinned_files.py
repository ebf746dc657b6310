"""A revision pins its files: what callers get is of one revision whole, whatever is uploaded and whenever a replica starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

DEFINITION = """
models:
  - name: files
    model_path: /models
    service:
      start_command: [python, -m, http.server, --directory, /models, "8000"]
      port: 8000
      health_check: {path: /answer, interval: 0.5, initial_delay: 0.1, max_wait_time: 5.0}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def folder(any_stack: Stack) -> AsyncIterator[str]:
    """A folder whose service `pinned` answers with what its file `answer` has."""
    made = await any_stack.api.folder("pinned", {"model-definition.yaml": DEFINITION, "answer": b"old"})
    yield made
    await any_stack.api.remove("pinned")
    await any_stack.api.call("DELETE", "/v1/folders/pinned")


async def answers(stack: Stack, revision: int) -> set[str]:
    """Wait until all replicas are of the revision and healthy; return what they answer, each once."""

    async def rolled() -> Any:
        seen = await stack.api.service("pinned")
        live = [replica for replica in seen["replica_list"] if replica["status"] != "ended"]
        assert [replica["revision"] for replica in live] == [revision] * 2, live
        return seen["status"] == "healthy" and [replica["address"] for replica in live]

    addresses = await eventually(rolled, within_s=120, every_s=0.1)
    async with httpx.AsyncClient(timeout=30, verify=False) as http:
        return {(await http.get(f"http://{address}/answer")).text for address in addresses}


async def test_replicas_see_the_files_of_their_revision_and_a_rollback_brings_the_old_ones(
    any_stack: Stack, folder: str
) -> None:
    api = any_stack.api
    spec = any_stack.engine_spec("pinned") | {"folder": "pinned"}
    await api.call("POST", "/v1/services", any_stack.spec("pinned", folder="pinned", replicas=2))
    assert await answers(any_stack, 1) == {"old"}

    await api.upload(folder, "answer", b"new")
    assert (await api.service("pinned"))["folder_changed"] is True
    await api.call("POST", "/v1/services/pinned/restart")
    assert await answers(any_stack, 2) == {"old"}

    await api.call("PATCH", "/v1/services/pinned", {"spec": spec})
    await api.upload(folder, "answer", b"newest")  # during the rollout
    assert await answers(any_stack, 3) == {"new"}

    await api.call("POST", "/v1/services/pinned/rollback", {"revision": 1})
    await api.call("DELETE", f"/v1/folders/{folder}/files/answer")
    assert await answers(any_stack, 4) == {"old"}
