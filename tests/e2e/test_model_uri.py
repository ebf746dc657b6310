"""A model of a hub: served without an upload, of one version whole, fetched from the hub once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.fakes.model_source import FakeModelSource, serving_models
from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

DEFINITION = b"""
models:
  - name: files
    model_path: /models
    service:
      start_command: [python, -m, http.server, --directory, /models, "8000"]
      port: 8000
      health_check: {path: /weights, interval: 0.5, initial_delay: 0.1, max_wait_time: 5.0}
"""
OLD, NEW = os.urandom(20).hex(), os.urandom(20).hex()


def files(weights: bytes) -> dict[str, bytes]:
    return {"model-definition.yaml": DEFINITION, "weights": weights, "large/shared.bin": b"x" * 3_000_000}


@pytest_asyncio.fixture(loop_scope="session")
async def hub(stack: Stack, hub_port: int) -> AsyncIterator[FakeModelSource]:
    async with serving_models(hub_port) as source:
        yield source
        await stack.api.remove("hubbed")


async def answers(stack: Stack, revision: int) -> set[bytes]:
    """Wait until both replicas are of the revision and healthy; return what they answer, each once."""

    async def rolled() -> Any:
        seen = await stack.api.service("hubbed")
        live = [replica for replica in seen["replica_list"] if replica["status"] != "ended"]
        assert [replica["revision"] for replica in live] == [revision] * 2, seen["reason"]
        return seen["status"] == "healthy" and [replica["address"] for replica in live]

    addresses = await eventually(rolled, within_s=120, every_s=0.1)
    async with httpx.AsyncClient(timeout=30, verify=False) as http:
        return {(await http.get(f"http://{address}/weights")).content for address in addresses}


async def test_a_model_of_a_hub_is_served_updated_and_rolled_back(stack: Stack, hub: FakeModelSource) -> None:
    hub.commit("acme/tiny", OLD, files(b"old"))
    spec = {"model_uri": "hf://acme/tiny", "slots": {"cpu": "0.1", "mem": "512m"}}
    await stack.api.call("POST", "/v1/services", {"name": "hubbed", "project": "default", "replicas": 2, **spec})
    assert await answers(stack, 1) == {b"old"}
    fetched = hub.served_bytes

    hub.commit("acme/tiny", NEW, files(b"new"))
    await stack.api.call("PATCH", "/v1/services/hubbed", {"spec": spec})
    assert await answers(stack, 2) == {b"new"}
    assert hub.served_bytes < fetched + 3_000_000  # what both versions have came once

    hub.repos.clear()
    await stack.api.call("POST", "/v1/services/hubbed/rollback", {"revision": 1})
    assert await answers(stack, 3) == {b"old"}
