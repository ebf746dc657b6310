"""Machines that join: signed identities on a real NATS, what they may do there, and what ends them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import nats
import pytest

from headrace.common.bus.connect import Bus, Login
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.db.pool import Pool
from headrace.common.runtime.tls import client_context
from headrace.install.make import rotate
from tests.support.fakes.agent import FakeAgent
from tests.support.wait import eventually
from tests.support.worlds.joining import Joinable, joinable, manager_running


@pytest.fixture
async def there(pool: Pool, tmp_path: Path) -> AsyncIterator[Joinable]:
    async with joinable(pool, tmp_path, "agent-1") as world:
        yield world


async def opened(login: Login) -> Bus:
    bus = Bus()
    await bus.open(login, timeout_s=60)
    return bus


async def is_refused(login: Login) -> bool:
    for _ in range(5):  # a reset may be all that is seen of a refusal
        bus = Bus()
        try:
            await bus.open(login, timeout_s=3)
        except BusUnavailable as refusal:
            if "authorization violation" in refusal.detail.lower():
                return True
        else:
            return False
        finally:
            await bus.close()
    return False


async def test_a_machine_that_joined_reports_with_group_and_labels_of_its_token(there: Joinable) -> None:
    await there.pool.execute("insert into resource_groups (name) values ('a100')")
    bus = await opened(await there.joined("gpu-7", resource_group="a100", labels={"zone": "b"}))

    async def listed() -> bool:
        items = (await there.admin.call("GET", "/v1/agents"))["items"]
        return [(one["id"], one["resource_group"], one["labels"]) for one in items] == [
            ("gpu-7", "a100", {"zone": "b"})
        ]

    async with FakeAgent("gpu-7", bus).alive():
        assert await eventually(listed)
    await bus.close()


async def test_a_removed_agent_s_connection_ends_at_once_and_it_stays_refused(there: Joinable) -> None:
    login, other = await there.joined("gpu-7"), await opened(await there.joined("gpu-8"))
    bus = await opened(login)
    await there.admin.call("DELETE", "/v1/identities/gpu-7?reason=stolen")
    assert await eventually(lambda: not bus.connected, within_s=10)
    await bus.close()
    assert await is_refused(login)
    await asyncio.to_thread(there.restart_nats)  # its configuration has the older claims
    assert await eventually(lambda: other.connected, within_s=60)
    assert await is_refused(login)
    await other.close()


async def test_an_agent_of_the_installation_s_files_is_revoked_by_its_removal(there: Joinable) -> None:
    login = there.login("agent-1", there.folder / "bus/agent-1.creds")
    bus = await opened(login)

    async def known() -> bool:
        return bool((await there.admin.call("GET", "/v1/agents"))["items"])

    async with FakeAgent("agent-1", bus).alive():
        assert await eventually(known)
    await there.admin.call("DELETE", "/v1/agents/agent-1")
    assert await eventually(lambda: not bus.connected, within_s=10)
    await bus.close()
    assert await is_refused(login)


async def test_servers_that_lost_the_revocations_get_them_again(there: Joinable) -> None:
    login = await there.joined("gpu-7")
    await there.admin.call("DELETE", "/v1/identities/gpu-7")

    async def refused() -> bool:
        return await is_refused(login)

    assert await eventually(refused, within_s=30)
    there.nats.close()
    for claims in (there.data / "nats/accounts").rglob("*.jwt"):
        claims.unlink()
    await asyncio.to_thread(there.restart_nats)
    assert await eventually(refused, within_s=60)


async def test_two_managers_revoke_at_the_same_time_and_nothing_is_lost(there: Joinable) -> None:
    logins = [await there.joined(f"gpu-{number}") for number in range(8)]
    buses = await asyncio.gather(*(opened(login) for login in logins))
    async with manager_running(there, listen_port=0):
        await asyncio.gather(*(there.admin.call("DELETE", f"/v1/identities/gpu-{number}") for number in range(8)))
        await eventually(lambda: not any(bus.connected for bus in buses))
    await asyncio.gather(*(bus.close() for bus in buses))
    assert all(await asyncio.gather(*(is_refused(login) for login in logins)))


async def test_a_rotated_identity_and_revoked_ones_are_refused_together(there: Joinable, tmp_path: Path) -> None:
    joined = await there.joined("gpu-7")
    former = tmp_path / "former.creds"
    former.write_text((there.folder / "bus/agent-1.creds").read_text())
    await there.admin.call("DELETE", "/v1/identities/gpu-7")
    rotation = await asyncio.to_thread(rotate, there.folder, "bus:agent-1", datetime.now(UTC))
    assert [step for step in rotation.steps if "signing.json" in step]

    async def both_refused() -> bool:
        return await is_refused(joined) and await is_refused(there.login("agent-1", former))

    assert await eventually(both_refused, within_s=60), "the managers read the file that was replaced"
    await (await opened(there.login("agent-1", there.folder / "bus/agent-1.creds"))).close()
    await asyncio.to_thread(there.restart_nats)
    assert await eventually(both_refused, within_s=60)


async def test_identities_that_a_compromised_manager_signed_are_refused_after_a_rotation(there: Joinable) -> None:
    joined = await there.joined("gpu-7")
    await asyncio.to_thread(rotate, there.folder, "bus-signing", datetime.now(UTC))
    there.nats.close()
    shutil.rmtree(there.data / "nats/accounts")
    await asyncio.to_thread(there.restart_nats)

    async def refused() -> bool:
        return await is_refused(joined)

    assert await eventually(refused, within_s=60)
    await (await opened(there.login("agent-1", there.folder / "bus/agent-1.creds"))).close()
    await (await opened(await there.joined("gpu-8"))).close()
    await there.admin.call("DELETE", "/v1/identities/gpu-7")


@pytest.mark.parametrize(
    "subject",
    [
        "report.agent.gpu-8",
        "plan.agent.gpu-8",
        "plan.agent.gpu-7",
        "metrics.kernel.gpu-8",
        "report.proxy.proxy-1",
        "route.x",
        "rules.x",
        "rpc.manager.scale",
        "$JS.API.STREAM.DELETE.plans",
        "$SYS.REQ.CLAIMS.UPDATE",
        "_INBOX_manager.x",
        "_INBOX_gpu-8.x",
    ],
)
async def test_an_agent_that_joined_may_publish_for_itself_alone(there: Joinable, subject: str) -> None:
    await must_be_denied(await there.joined("gpu-7"), subject, publish=True)


@pytest.mark.parametrize(
    "subject",
    [">", "plan.agent.gpu-8", "plan.agent.*", "report.agent.*", "_INBOX_gpu-8.>", "_INBOX_manager.>", "$SYS.>"],
)
async def test_an_agent_that_joined_reads_its_own_alone(there: Joinable, subject: str) -> None:
    await must_be_denied(await there.joined("gpu-7"), subject, publish=False)


async def must_be_denied(login: Login, subject: str, *, publish: bool) -> None:
    """Return once the server has denied a subject, with its own words. AssertionError if it takes it."""
    denied: list[str] = []

    async def note(error: Exception) -> None:
        denied.append(str(error).lower())

    client = await nats.connect(
        login.url, user_credentials=login.credentials, tls=client_context(login.ca_file), error_cb=note
    )
    if publish:
        await client.publish(subject, b"x")
    else:
        await client.subscribe(subject)
    await client.flush()
    assert await eventually(
        lambda: [one for one in denied if "permissions violation" in one and subject.lower() in one]
    )
    await client.close()
