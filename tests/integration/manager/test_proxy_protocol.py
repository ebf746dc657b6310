"""Real HAProxy before a manager, with the configuration of the compose project: callers' own addresses are limited and logged."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.common.bus.identities import new_seed, public_key
from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.keyform import JOIN_TOKEN
from headrace.common.db.pool import Pool
from headrace.install.compose.files import text
from headrace.manager.usecases.failed_attempts import MAX_FAILURES
from tests.support.nginx import installed
from tests.support.ports import free_port
from tests.support.proxy_protocol import header
from tests.support.wait import eventually
from tests.support.worlds.installation import running
from tests.support.worlds.joining import Joinable, joinable

BALANCER, ONE, OTHER = "127.0.0.9", "127.0.0.77", "127.0.0.78"


@pytest.fixture
async def there(pool: Pool, tmp_path: Path) -> AsyncIterator[Joinable]:
    async with joinable(pool, tmp_path, proxy_protocol_from=(f"{BALANCER}/32",)) as world:
        yield world


def configuration(there: Joinable, port: int) -> str:
    """Return that of the project, for this machine: one manager, and no name server of Docker's."""
    lines, skipped = [], False
    for line in text("haproxy.cfg").splitlines():
        skipped = line.startswith("resolvers") or (skipped and line.startswith(" "))
        if not skipped and "server manager-2" not in line:
            lines.append(line)
    found = "\n".join(lines) + "\n"
    for before, after in {
        "bind :8443": f"bind 127.0.0.1:{port}",
        "bind 127.0.0.1:8404": f"bind 127.0.0.1:{free_port()}",
        "manager-1:8443": f"127.0.0.1:{there.ports.api} source {BALANCER}",
        "/etc/headrace": str(there.folder),
        " verifyhost manager": "",  # addresses are no names
        " resolvers docker init-addr none": "",
    }.items():
        assert before in found, before
        found = found.replace(before, after)
    return found


async def test_callers_behind_haproxy_are_told_apart_in_the_audit_log_and_by_the_limit_of_failed_joins(
    there: Joinable, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "haproxy.cfg").write_text(configuration(there, port))
    known = ssl.create_default_context(cafile=str(there.folder / "tls/ca.crt"))
    key = {"Authorization": f"Bearer {there.admin.key}"}

    def client(source: str) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(verify=known, local_address=source)
        return httpx.AsyncClient(
            verify=known, transport=transport, base_url=f"https://127.0.0.1:{port}", headers=key, timeout=60
        )

    words = (installed("haproxy", "haproxy"), "-db", "-f", str(tmp_path / "haproxy.cfg"))
    log = tmp_path / "haproxy.log"
    with running(*words, log=log, environ=dict(os.environ)):
        async with client(ONE) as one, client(OTHER) as other:

            async def passes() -> bool:
                try:
                    return (await one.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            assert await eventually(passes), log.read_text()
            for who, name in ((one, "first"), (other, "second")):
                assert (await who.post("/v1/folders", json={"name": name, "project": "default"})).status_code == 201
            await there.admin.call("POST", "/v1/folders", {"name": "third", "project": "default"})
            entries = (await there.admin.call("GET", "/v1/audit"))["items"]
            made = [entry["source_address"] for entry in entries if entry["action"] == "folder.created"]
            assert made == ["127.0.0.1", OTHER, ONE]

            request: dict[str, Any] = {
                "token": JOIN_TOKEN.new(new_uuid())[0],
                "kind": "agent",
                "name": "gpu-7",
                "public_key": public_key(new_seed("user")),
            }
            tried = [(await one.post("/v1/join", json=request)).status_code for _ in range(MAX_FAILURES + 1)]
            assert (tried[0], tried[-1]) == (401, 429)
            assert (await other.post("/v1/join", json=request)).status_code == 401
    await nothing_is_told_without_the_balancer(there)


async def nothing_is_told_without_the_balancer(there: Joinable) -> None:
    """A header of somebody else, and none of the balancer, end the connection ahead of TLS."""
    for source, sent in ((ONE, header("192.0.2.7")), (BALANCER, b"\x16\x03\x01\x00\x05hello" + bytes(8))):
        reader, writer = await asyncio.open_connection("127.0.0.1", there.ports.api, local_addr=(source, 0))
        writer.write(sent)
        try:
            answered = await asyncio.wait_for(reader.read(), 60)
        except ConnectionResetError:
            answered = b""
        assert b"HTTP" not in answered
        writer.close()
