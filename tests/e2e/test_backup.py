"""A stack is backed up while it serves, destroyed, and restored: what its callers hold opens the same endpoints again."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.api import Api
from tests.support.load import Load
from tests.support.wait import eventually
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


async def headrace(*words: str | Path) -> str:
    ran = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace.cli", *map(str, words)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await ran.communicate()
    assert ran.returncode == 0, err.decode()
    return out.decode()


async def test_tokens_and_clients_open_the_restored_services(tmp_path: Path) -> None:
    stack, file = Stack(tmp_path / "data", runtime="process", python_image=None, gpus=2), tmp_path / "backup.tar"
    await stack.start()
    api = stack.api
    await stack.engine_service("chat", replicas=2)
    await api.until_healthy("chat", replicas=2)
    token = (await api.token("chat"))["token"]
    client = await api.call("POST", "/v1/services/chat/clients", {"name": "app"})
    rule = {"metric": "cpu_util", "source": "kernel", "comparator": "GREATER_THAN", "threshold": 1e6, "step": 1}
    await api.call("POST", "/v1/services/chat/rules", {**rule, "min_replicas": 1, "max_replicas": 3, "cooldown_s": 60})
    history = await api.call("GET", "/v1/services/chat/history")
    url = f"{stack.proxy}/chat/v1/models"
    async with Load(url, token) as load:
        await eventually(lambda: len(load.answers) > 50)
        await headrace("backup", file, "--data", stack.data)
        sent = len(load.answers)
        await eventually(lambda: len(load.answers) > sent + 50)
    assert load.failures == []
    # what happens after the backup is gone with the installation, and fenced: a table of a later generation is known nowhere
    await api.call("PATCH", "/v1/services/chat", {"replicas": 1})
    key = api.key
    assert await stack.stop() == 0
    await asyncio.to_thread(shutil.rmtree, stack.data)

    await headrace("restore", file, "--data", stack.data)
    await stack.start()
    again = Api(stack.api.url, key)  # the first operator's key is the same
    await again.until_healthy("chat", replicas=2)
    async with httpx.AsyncClient(verify=False, timeout=60) as http:

        async def opened() -> bool:
            bearer = await http.get(url, headers={"Authorization": f"Bearer {token}"})
            basic = await http.get(url, auth=("app", client["secret"]))
            return (bearer.status_code, basic.status_code) == (200, 200)

        assert await eventually(opened)
        assert (await http.get(url)).status_code == 401
    after = await again.call("GET", "/v1/services/chat/history")
    assert [event["id"] for event in history["items"]] == [event["id"] for event in after["items"]][
        -len(history["items"]) :
    ]
    assert len((await again.call("GET", "/v1/services/chat/rules"))["items"]) == 1
    await again.http.aclose()
    assert await stack.stop() == 0, stack.log.read_text()[-4000:]
