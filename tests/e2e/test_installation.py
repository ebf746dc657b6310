"""The files of `headrace init` work: real servers and the four services run on them by TLS, and serve a model."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.support.load import Load
from tests.support.wait import eventually
from tests.support.worlds.installation import Ports, installed, left_in_a_thread, on_this_machine, services_running
from tests.support.worlds.installation_servers import servers
from tests.support.worlds.installed_nats import loopback_addresses, until_whole
from tests.support.worlds.operator import Operator

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
EXAMPLE = Path(__file__).parents[2] / "examples/chat-simulated"


async def test_a_model_is_served_by_an_installation_of_these_files(tmp_path: Path) -> None:
    ports, data, logs = Ports(), tmp_path / "data", tmp_path / "logs"
    folder = installed(tmp_path / "etc", on_this_machine(ports, data))
    url, ca = f"https://127.0.0.1:{ports.api}", folder / "tls/ca.crt"
    async with (
        servers(folder, data, database=ports.database, redis=ports.redis),
        httpx.AsyncClient(verify=ssl.create_default_context(cafile=ca)) as http,
        left_in_a_thread(services_running(folder, logs)) as pages,
    ):

        async def ready() -> bool:
            try:
                answers = [await http.get(page) for page in (f"{url}/readyz", *pages)]
            except httpx.TransportError:
                return False
            return [answer.status_code for answer in answers] == [200] * 4  # the autoscaler reaches Redis, too

        assert await eventually(ready, within_s=120)
        operator = Operator(tmp_path)
        await operator.runs(
            "login", "--url", url, "--ca", str(ca), "--key", "-", given=(folder / "admin.key").read_text()
        )
        await operator.runs("folder", "create", "chat")
        await operator.runs("folder", "upload", "chat", str(EXAMPLE))
        await operator.runs("service", "create", "chat", "--folder", "chat", "--replicas", "2", "--wait")
        token = json.loads(await operator.runs("token", "create", "chat", "--json"))["token"]
        answer = await http.post(
            f"http://127.0.0.1:{ports.proxy}/chat/v1/chat/completions",
            headers={"Authorization": f"Bearer {token}"},
            json={"model": "chat-simulated", "messages": [{"role": "user", "content": "hello"}]},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"]
    for log in logs.iterdir():
        for secret in ("hr_", json.loads((folder / "installation.json").read_text())["passwords"]["redis"]):
            assert secret not in log.read_text(), log


async def test_each_nats_server_of_a_cluster_dies_in_turn_and_callers_and_changes_go_on(tmp_path: Path) -> None:
    ports, data, logs = Ports(), tmp_path / "data", tmp_path / "logs"
    choices = replace(on_this_machine(ports, data), nats=",".join(map(str, loopback_addresses(3))))
    folder = installed(tmp_path / "etc", choices)
    url, ca = f"https://127.0.0.1:{ports.api}", folder / "tls/ca.crt"
    async with (
        servers(folder, data, database=ports.database, redis=ports.redis) as cluster,
        httpx.AsyncClient(verify=ssl.create_default_context(cafile=ca)) as http,
        left_in_a_thread(services_running(folder, logs)) as pages,
    ):

        async def ready() -> bool:
            try:
                answers = [await http.get(page) for page in (f"{url}/readyz", *pages)]
            except httpx.TransportError:
                return False
            return [answer.status_code for answer in answers] == [200] * 4

        assert await eventually(ready, within_s=120)
        operator = Operator(tmp_path)
        await operator.runs(
            "login", "--url", url, "--ca", str(ca), "--key", "-", given=(folder / "admin.key").read_text()
        )
        await operator.runs("folder", "create", "chat")
        await operator.runs("folder", "upload", "chat", str(EXAMPLE))
        await operator.runs("service", "create", "chat", "--folder", "chat", "--replicas", "1", "--wait")
        token = json.loads(await operator.runs("token", "create", "chat", "--json"))["token"]
        async with Load(f"http://127.0.0.1:{ports.proxy}/chat/v1/models", token, workers=2) as load:
            await eventually(lambda: load.answers)
            for replicas, server in enumerate(cluster, 1):
                server.kill()
                await operator.runs("service", "scale", "chat", str(replicas % 2 + 1), "--wait")
                server.start()
                await asyncio.to_thread(until_whole, cluster)
            assert await eventually(ready, within_s=60)
        assert load.failures == []


async def test_a_lost_installation_comes_back_from_its_backup(tmp_path: Path) -> None:
    """Its files, database, bus and folders are lost; app-proxy and agent kept their disks, with later tables than the backup's."""
    ports, data, logs, backup = Ports(), tmp_path / "data", tmp_path / "logs", tmp_path / "backup.tar"
    folder = installed(tmp_path / "etc", on_this_machine(ports, data))
    url, ca = f"https://127.0.0.1:{ports.api}", folder / "tls/ca.crt"
    endpoint = f"http://127.0.0.1:{ports.proxy}/chat/v1/models"
    operator = Operator(tmp_path)

    async def until_ready(http: httpx.AsyncClient, pages: list[str]) -> None:
        async def ready() -> bool:
            try:
                return {(await http.get(page)).status_code for page in (f"{url}/readyz", *pages)} == {200}
            except httpx.TransportError:
                return False

        assert await eventually(ready, within_s=120)

    async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=ca), timeout=60) as http:
        async with (
            servers(folder, data, database=ports.database, redis=ports.redis),
            left_in_a_thread(services_running(folder, logs)) as pages,
        ):
            await until_ready(http, pages)
            await operator.runs(
                "login", "--url", url, "--ca", str(ca), "--key", "-", given=(folder / "admin.key").read_text()
            )
            await operator.runs("folder", "create", "chat")
            await operator.runs("folder", "upload", "chat", str(EXAMPLE))
            await operator.runs("service", "create", "chat", "--folder", "chat", "--replicas", "2", "--wait")
            token = json.loads(await operator.runs("token", "create", "chat", "--json"))["token"]
            headers = {"Authorization": f"Bearer {token}"}
            assert (await http.get(endpoint, headers=headers)).status_code == 200
            said = await operator.runs("backup", str(backup), "--config", str(folder / "settings/manager.toml"))
            assert "installation.json" in said
            for replicas in ("3", "2"):  # later tables than those of the backup
                await operator.runs("service", "scale", "chat", replicas, "--wait")

        for lost in (folder, data / "database", data / "nats", data / "redis", data / "folders"):
            shutil.rmtree(lost)
        await operator.runs("init", str(folder), "--from", str(backup))
        async with servers(folder, data, database=ports.database, redis=ports.redis):
            await operator.runs("restore", str(backup), "--config", str(folder / "settings/manager.toml"))
            async with left_in_a_thread(services_running(folder, logs)) as pages:
                await until_ready(http, pages)
                await operator.runs("service", "wait", "chat")  # with the login of before

                async def as_wanted() -> bool:  # what the backup says of replicas holds until their agent reports
                    seen = json.loads(await operator.runs("service", "show", "chat", "--json"))
                    return (seen["replicas"], seen["status"]) == (2, "healthy")

                assert await eventually(as_wanted, every_s=0.5)

                async def opened() -> bool:
                    return (await http.get(endpoint, headers=headers)).status_code == 200

                assert await eventually(opened)
                await operator.runs("service", "scale", "chat", "1", "--wait")  # the app-proxy takes what is newer
                assert await eventually(opened)
