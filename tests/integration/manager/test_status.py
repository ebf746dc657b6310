"""`GET /v1/status`: each part of the installation, as it reports over the bus; who may ask; and without the database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from headrace.common.bus.publish import publish
from headrace.common.contracts.messages.autoscalers import AutoscalerReport, RedisServer
from headrace.common.contracts.messages.instances import ServiceInstance
from headrace.common.contracts.messages.reports import ProxyReport
from headrace.common.db.pool import Pool, open_pool
from headrace.common.runtime.clock import utc_now
from headrace.embedded.stack import EmbeddedServers
from tests.support.relay import relay
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld
from tests.support.worlds.manager_api import ManagerApi, serving

START = datetime(2026, 1, 1, tzinfo=UTC)


def instance(**changes: Any) -> ServiceInstance:
    return ServiceInstance(**{"version": "1.0", "host": "h", "started_at": START, **changes})


def proxy(**changes: Any) -> ProxyReport:
    name = changes.pop("proxy_id", "proxy-1")
    return ProxyReport(proxy_id=name, sent_at=utc_now(), url="http://p", generations={}, instance=instance(**changes))


def autoscaler(**changes: Any) -> AutoscalerReport:
    redis = RedisServer(version="9.1", role="master", memory_bytes=1, max_memory_bytes=0, address="r:6379")
    usual: dict[str, Any] = {"services": 2, "evaluated": 1, "redis": redis}
    return AutoscalerReport(autoscaler_id="autoscaler-1", sent_at=utc_now(), instance=instance(**changes), **usual)


async def test_only_operators_see_it(api: ManagerApi) -> None:
    ann = await api.user("ann", default="owner")
    assert (await api.admin.http.get("/v1/status")).status_code == 200
    assert (await ann.http.get("/v1/status")).status_code == 403
    await ann.close()
    async with httpx.AsyncClient(verify=False) as http:
        assert (await http.get(f"{api.url}/v1/status")).status_code == 401


async def test_machines_in_trouble_come_first_and_all_are_counted(api: ManagerApi, pool: Pool) -> None:
    for name in ("agent-1", "agent-2", "agent-3"):
        await api.machine(name)
    await pool.execute("update agents set lost_at = now() where id = 'agent-3'")
    full = {"disk": {"free_bytes": 1, "total_bytes": 9, "reserve_bytes": 5}}
    await pool.execute("update agents set machine = machine || $1::jsonb where id = 'agent-2'", full)
    found = await api.admin.call("GET", "/v1/status")
    agents = [(part["name"], part["status"]) for part in found["parts"] if part["kind"] == "agent"]
    assert agents == [("agent-2", "degraded"), ("agent-3", "away"), ("agent-1", "up")]
    assert found["agents"] == {"alive": 2, "lost": 1}
    assert (found["status"], found["answered_by"]) == ("degraded", "manager-1")


async def test_without_the_database_the_refusal_says_so_and_what_goes_on(
    servers: EmbeddedServers, database_url: str, tmp_path: Path
) -> None:
    parts = urlsplit(database_url)
    async with relay(parts.hostname or "", parts.port or 0) as line:
        there = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{line.port}").geturl()
        async with open_pool(there, size=2) as pool, serving(pool, tmp_path) as api:
            assert (await api.admin.http.get("/v1/status")).status_code == 200
            await line.cut()
            answer = await api.admin.http.get("/v1/status")
            assert (answer.status_code, answer.json()["reason"]) == (503, "database-unreachable")
            assert "PostgreSQL does not answer" in answer.json()["detail"]
            assert "Requests are served, changes are refused" in answer.json()["detail"]
            assert "manager-1: not connected to NATS" in answer.json()["detail"]
            await line.mend()
            assert (await api.admin.http.get("/v1/status")).status_code == 200


async def test_parts_report_stop_and_fall_silent(world: ManagerWorld) -> None:
    async def states() -> dict[str, str]:
        found = await world.status()
        return {part["name"]: part["status"] for part in found["parts"] if part["kind"] != "agent"}

    async def reach(**wanted: str) -> None:
        last: dict[str, str] = {}

        async def reached() -> bool:
            nonlocal last
            last = await states()
            return {name: last.get(name) for name in wanted} == wanted

        try:
            await eventually(reached)
        except AssertionError as error:
            raise AssertionError(f"{wanted}: {last}") from error

    proxies, autoscalers = await world.bus("appproxy"), await world.bus("autoscaler")
    async with world.whole_manager("m1"):
        async with world.whole_manager("m2"):
            await publish(proxies, proxy())
            await publish(autoscalers, autoscaler())
            up = dict.fromkeys(("m1", "m2", "proxy-1", "autoscaler-1", "postgresql", "nats", "redis"), "up")
            await reach(**up)
            found = await world.status()
            assert found["status"] == "healthy"
            nats = next(part for part in found["parts"] if part["kind"] == "nats")
            assert (nats["facts"]["copies"], nats["version"].count(".")) == (1, 2)
            await publish(proxies, proxy(checks={"listeners": "10001: in use"}))
            await reach(**{"proxy-1": "degraded"})
            await publish(autoscalers, autoscaler(checks={"redis": "timed out"}, ready=False))
            await reach(redis="away")
        await reach(m2="stopped", m1="up")
        # as after a minute without a word; managers have been there for longer
        await world.pool.execute(
            "update service_instances set last_seen_at = last_seen_at - interval '1 minute' where name <> 'm1'"
        )
        await world.pool.execute(
            "update service_instances set started_at = started_at - interval '1 hour' where name = 'm1'"
        )
        found = await world.status()
        seen = {part["name"]: part for part in found["parts"]}
        assert (seen["proxy-1"]["status"], seen["proxy-1"]["reasons"][0]["code"]) == ("away", "silent")
        codes = {reason["code"] for reason in found["reasons"]}
        assert codes == {"no-app-proxy", "no-autoscaler"}


async def test_a_manager_that_dies_is_silent_and_is_forgotten_after_a_day(world: ManagerWorld) -> None:
    async with world.whole_manager("m1"):
        async with world.whole_manager("m2", killed=True):
            pass
        await world.pool.execute(
            "update service_instances set last_seen_at = now() - interval '30 seconds' where name = 'm2'"
        )
        parts = {part["name"]: part for part in (await world.status())["parts"]}
        assert (parts["m2"]["status"], "the others do its work" in parts["m2"]["reasons"][0]["text"]) == ("away", True)
        await world.pool.execute(
            "update service_instances set last_seen_at = now() - interval '25 hours' where name = 'm2'"
        )

        async def forgotten() -> bool:
            return "m2" not in {part["name"] for part in (await world.status())["parts"]}

        await eventually(forgotten)


async def test_a_bus_that_is_away_is_said_and_so_is_what_is_unknown(world: ManagerWorld) -> None:
    proxies = await world.bus("appproxy")
    there = urlsplit(world.servers.nats_url)
    async with (
        relay(there.hostname or "", there.port or 0) as line,
        world.whole_manager("m1", nats_url=f"nats://127.0.0.1:{line.port}"),
    ):
        await publish(proxies, proxy())

        async def heard() -> bool:
            return "proxy-1" in {part["name"] for part in (await world.status())["parts"]}

        await eventually(heard)
        await line.cut()
        await world.pool.execute(
            "update service_instances set last_seen_at = now() - interval '1 minute' where name = 'proxy-1'"
        )

        async def told() -> bool:
            parts = {part["name"]: part for part in (await world.status())["parts"]}
            return (parts["nats"]["status"], parts["proxy-1"]["reasons"][0]["code"], parts["m1"]["status"]) == (
                "away",
                "cut-off",
                "degraded",
            )

        await eventually(told)
        await line.mend()


async def test_reports_beyond_the_bound_are_left_out_and_many_cost_one_statement(world: ManagerWorld) -> None:
    buses = await world.bus("manager")
    async with world.whole_manager("m1"):
        for number in range(300):
            await publish(buses, proxy(proxy_id=f"p-{number}"))

        async def stored() -> bool:
            return bool(await world.pool.fetchval("select count(*) >= 200 from service_instances"))

        await eventually(stored)
        assert await world.pool.fetchval("select count(*) from service_instances") <= 512
