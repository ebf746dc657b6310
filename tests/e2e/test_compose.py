"""`headrace init DIR --url … && docker compose up -d --wait` serves a model, also while its containers crash, one after another."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import SystemRandom

import httpx
import pytest
import pytest_asyncio

from headrace.install.compose.files import VERSION
from tests.support import compose_images
from tests.support.load import Load
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.compose import ComposeProject
from tests.support.worlds.operator import Operator
from tests.support.worlds.stack import ENGINE_DEFINITION

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.docker,
    pytest.mark.timeout(1800),  # of which the images' first build is all but a minute or two
    pytest.mark.asyncio(loop_scope="module"),
]
LONG_RUNNING = (
    *("postgres", "nats", "valkey", "manager-1", "manager-2", "api", "autoscaler-1", "autoscaler-2"),
    *("appproxy", "agent", "prometheus"),
)
CRASHED_UNDER_LOAD = ("manager-1", "manager-2", "api", "postgres", "valkey", "nats", "autoscaler-1", "agent")
"""All but the app-proxy, which carries the requests."""
MESSAGE = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


@dataclass
class Site:
    """Running project, with an operator who is logged in, and a caller's token of the service `chat`."""

    project: ComposeProject
    operator: Operator
    url: str
    endpoint: str
    machine: str
    """Address of this machine, as containers see calls from it."""
    token: str = ""

    async def replicas(self) -> int:
        """Return how many replicas of `chat` serve."""
        seen = json.loads(await self.operator.runs("service", "show", "chat", "--json"))
        return sum(replica["health"] == "healthy" for replica in seen["replica_list"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, python_image: str) -> AsyncIterator[Site]:
    """What the title says, with a service of two replicas."""
    servers = await asyncio.to_thread(compose_images.build, VERSION)
    tmp = tmp_path_factory.mktemp("compose")
    folder, url, endpoint = tmp / "etc", f"https://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    operator = Operator(tmp)
    number = SystemRandom().randrange(1, 250)
    edge = f"10.211.{number}"
    await operator.runs(
        *("init", str(folder), "--url", url, "--proxy-url", endpoint, "--data-dir", str(tmp / "data")),
    )
    project = ComposeProject(
        folder,
        f"headrace-test-{os.getpid()}",
        servers=servers,
        environ={
            "HEADRACE_IMAGES": compose_images.PREFIX,
            "HEADRACE_STORES": f"10.212.{number}",
            "HEADRACE_EDGE": edge,
        },
    )
    try:
        await project.up()
        site = Site(project, operator, url, f"{endpoint}/chat/v1/chat/completions", f"{edge}.1")
        await operator.runs(
            *("login", "--url", url, "--ca", str(folder / "tls/ca.crt"), "--key", "-"),
            given=(folder / "admin.key").read_text(),
        )
        model = tmp / "model"
        model.mkdir()
        (model / "model-definition.yaml").write_text(ENGINE_DEFINITION)
        await operator.runs("folder", "create", "chat")
        await operator.runs("folder", "upload", "chat", str(model))
        await operator.runs(
            *("service", "create", "chat", "--folder", "chat", "--image", python_image, "--replicas", "2", "--wait"),
            *("--slot", "cpu=0.2", "--slot", "mem=256m"),
        )
        site.token = json.loads(await operator.runs("token", "create", "chat", "--json"))["token"]
        yield site
        await operator.runs("service", "rm", "chat", "--yes", "--wait")
    finally:
        await project.down()
        compose_images.remove(VERSION)


async def test_a_model_is_served_and_stays_so_while_each_container_crashes(site: Site) -> None:
    async with Load(site.endpoint, site.token, body=MESSAGE) as load:
        for service in CRASHED_UNDER_LOAD:
            before = (await site.project.state(service))["State"]["Pid"]
            await site.project.crash(service, image=f"{compose_images.PREFIX}manager:{VERSION}")

            async def again(service: str = service, before: int = before) -> bool:
                running = (await site.project.state(service))["State"]["Pid"] not in {0, before}
                return running and await site.project.healthy(service)

            await eventually(again, within_s=90, every_s=0.3, what=service)
    assert len(load.answers) > 50
    assert load.failures == []
    # What was there is there, and everything takes part again.
    assert await site.replicas() == 2
    await site.operator.runs("service", "scale", "chat", "3", "--wait")
    assert await site.replicas() == 3


async def test_a_crashed_app_proxy_serves_again_with_the_same_token(site: Site) -> None:
    await site.project.crash("appproxy", image=f"{compose_images.PREFIX}manager:{VERSION}")
    async with httpx.AsyncClient(verify=False, headers={"Authorization": f"Bearer {site.token}"}) as http:

        async def served() -> bool:
            try:
                answer = await http.post(site.endpoint, json=MESSAGE)
            except httpx.TransportError:
                return False
            return answer.status_code == 200

        assert await eventually(served, within_s=60)


async def test_the_images_have_the_web_console(site: Site) -> None:
    async with httpx.AsyncClient(verify=False) as http:
        page = await http.get(f"{site.url}/console/")
    assert (page.status_code, "/console/assets/" in page.text) == (200, True), page.text


async def test_the_api_answers_while_one_manager_after_the_other_is_stopped(site: Site) -> None:
    for service in ("manager-1", "manager-2"):
        await site.project.docker("stop", site.project.container(service))
        for _ in range(3):
            assert "chat" in await site.operator.runs("service", "ls")
        await site.project.docker("start", site.project.container(service))
        await eventually(lambda service=service: site.project.healthy(service), within_s=60, every_s=0.3)


async def test_each_container_runs_with_a_read_only_root_as_its_account_and_with_its_files_only(site: Site) -> None:
    for service in LONG_RUNNING:
        state = await site.project.state(service)
        config, host = state["Config"], state["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert host["PidsLimit"], service
        assert host["Memory"], service
        assert config["User"].split(":")[0] not in ({"", "0"} if service != "agent" else {""}), service
        container = site.project.container(service)
        found = (await site.project.docker("exec", container, "sh", "-c", "cd /etc/headrace && echo * */*")).split()
        assert "installation.json" not in found
        keys = {path for path in found if path.endswith((".key", ".creds"))}
        assert len([path for path in keys if path.startswith("bus/")]) <= 1, (service, keys)
        assert len([path for path in keys if path.startswith("tls/")]) <= 1, (service, keys)


async def test_nobody_reaches_the_stores_from_outside(site: Site) -> None:
    published = {}
    for service in LONG_RUNNING:
        ports = (await site.project.state(service))["NetworkSettings"]["Ports"] or {}
        published[service] = [port for port, bound in ports.items() if bound]
    assert {service: ports for service, ports in published.items() if ports} == {"api": ["8443/tcp"]}
    networks = (await site.project.state("nats"))["NetworkSettings"]["Networks"]
    address = next(iter(networks.values()))["IPAddress"]
    probe = f"import socket; socket.create_connection(('{address}', 4222), 2)"
    image = f"{compose_images.PREFIX}manager:{VERSION}"
    with pytest.raises(
        AssertionError, match=r"timed out|unreachable"
    ):  # a container of another network, as any caller's
        await site.project.docker("run", "--rm", "--entrypoint", "python", image, "-c", probe)


async def test_the_audit_log_has_callers_addresses_and_not_that_of_haproxy(site: Site) -> None:
    entries = json.loads(await site.operator.runs("audit", "--action", "folder.created", "--json"))
    rows = entries["items"] if isinstance(entries, dict) else entries
    assert {row["source_address"] for row in rows} == {site.machine}


async def test_prometheus_finds_and_reaches_every_part(site: Site) -> None:
    url = "http://127.0.0.1:9090/api/v1/query?query=up"

    async def all_up() -> bool:
        out = await site.project.docker("exec", site.project.container("prometheus"), "wget", "-q", "-O", "-", url)
        found = {
            (one["metric"]["job"], one["metric"]["instance"]): one["value"][1]
            for one in json.loads(out)["data"]["result"]
        }
        up = [job for (job, _), value in found.items() if value == "1"]
        counted = {job: up.count(f"headrace-{job}") for job in ("manager", "autoscaler", "appproxy", "agent")}
        assert counted == {"manager": 2, "autoscaler": 2, "appproxy": 1, "agent": 1}, found
        return True

    assert await eventually(all_up, within_s=90, every_s=1)


async def test_a_rotated_certificate_is_used_after_compose_up_without_a_restart(site: Site) -> None:
    folder = site.project.folder
    before = (await site.project.state("manager-1"))["State"]["StartedAt"]
    await site.operator.runs("init", str(folder), "--rotate", "certificates")
    await site.project.up()
    wanted = ssl.PEM_cert_to_DER_cert((folder / "tls/api.crt").read_text())
    host, port = site.url.removeprefix("https://").split(":")

    def served() -> bool:
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port)))) == wanted

    assert await eventually(lambda: asyncio.to_thread(served), within_s=60, every_s=0.3)
    assert (await site.project.state("manager-1"))["State"]["StartedAt"] == before


async def test_images_say_what_they_are_and_what_they_hold(site: Site) -> None:
    for target in compose_images.TARGETS:
        image = json.loads(await site.project.docker("image", "inspect", f"{compose_images.PREFIX}{target}:{VERSION}"))[
            0
        ]
        assert image["Config"]["Labels"]["org.opencontainers.image.title"] == f"headrace-{target}"
        assert image["Config"]["Labels"]["org.opencontainers.image.version"] == VERSION
        assert image["Config"]["Healthcheck"]["Test"][:4] == ["CMD", "python", "-m", "headrace.common.web.probe"]
        beside = compose_images.ROOT / "build/images" / target
        bill = json.loads((beside / "sbom.cdx.json").read_text())
        assert bill["bomFormat"] == "CycloneDX"
        held = {component["name"]: component["version"] for component in bill["components"]}
        assert held["headrace"] == VERSION
        assert {"aiohttp", "uvloop", "pydantic"} <= set(held)
        assert not {"pytest", "mypy", "pip", "setuptools"} & set(held)
        licences = (beside / "licenses.md").read_text()
        assert not [name for name in held if name not in licences and name != "headrace"]
    image = f"{compose_images.PREFIX}appproxy:{VERSION}"
    code = "import headrace.appproxy.dataplane.http1.requests as one; print(one.__file__)"
    where = await site.project.docker("run", "--rm", "--network=none", "--entrypoint", "python", image, "-c", code)
    assert where.strip().endswith(".so" if compose_images.COMPILE else ".py")
