"""History of metrics: windows are stored once, hours say what their windows said, and whoever sees a service sees it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.messages.metrics import KernelMetrics, KernelSample
from headrace.common.contracts.messages.traffic import TrafficWindow
from headrace.common.db.pool import transaction
from headrace.common.runtime.clock import SYSTEM_CLOCKS
from headrace.manager.inbox.kernel_samples import KernelSamples
from headrace.manager.loops.metric_history import MetricHistoryLoop
from headrace.manager.store import retention
from tests.support.api import Api
from tests.support.worlds.manager_api import ManagerApi

HOUR, WEEK = timedelta(hours=1), timedelta(days=7)
WRITER, SESSION = new_uuid(), new_uuid()


def last_window() -> datetime:
    """Return the beginning of the last window that is over."""
    seconds = int(datetime.now(UTC).timestamp())
    return datetime.fromtimestamp(seconds - seconds % 10 - 10, UTC)


def window(service: str, *, at: datetime, writer: UUID = WRITER, **counts: Any) -> TrafficWindow:
    """Return a window of proxy-1 with traffic of one replica."""
    replica = {"session_id": SESSION, "revision_id": new_uuid(), **counts}
    one = {"service_id": service, "replicas": [replica]}
    return TrafficWindow.model_validate({"proxy_id": "proxy-1", "writer": writer, "at": at, "services": [one]})


async def values(api: Api, series: str, service: str = "chat", **query: Any) -> list[float | None]:
    """Return the values of a series, but for leading and trailing unknown ones."""
    told = await api.call("GET", f"/v1/services/{service}/metrics?" + urlencode({"series": series} | query))
    found: list[float | None] = told["series"][0]["values"]
    known = [at for at, value in enumerate(found) if value is not None]
    return found[known[0] : known[-1] + 1] if known else []


async def made(api: ManagerApi, name: str = "chat", project: str = "default") -> str:
    """Create a service and return its id."""
    body = {"name": name, "runtime": "cmd", "project": project}
    return str((await api.admin.call("POST", "/v1/services", body))["id"])


async def test_a_window_is_stored_once_whoever_gets_it_and_how_often(api: ManagerApi) -> None:
    last = last_window()
    chat = await made(api)
    store = api.use.metric_history.store
    one = window(chat, at=last, succeeded=20, latencies={7: 20})
    await asyncio.gather(*(store(one) for _ in range(4)))
    await store(window(chat, at=last, writer=new_uuid(), succeeded=10))
    assert await values(api.admin, "requests_per_second", step_s=10) == [3.0]
    assert await values(api.admin, "latency_p50_s", step_s=10) == [0.175]
    assert (await store(window(chat, at=last - HOUR, succeeded=1))).stored == 0, "that hour may have been summed up"
    assert (await store(window(chat, at=last + HOUR, succeeded=1))).stored == 0


async def test_idle_is_zero_and_unheard_is_unknown(api: ManagerApi) -> None:
    last = last_window()
    chat = await made(api)
    ten = timedelta(seconds=10)
    await api.use.metric_history.store(window(chat, at=last - 5 * ten, succeeded=10))
    for number in (4, 1):
        await api.use.metric_history.store(window(str(new_uuid()), at=last - number * ten, succeeded=1))
    found = await values(api.admin, "requests_per_second", step_s=10, **{"from": str(last - HOUR / 2)})
    assert found == [1.0, 0.0, None, None, 0.0]


async def test_who_does_not_see_a_service_does_not_see_its_metrics(api: ManagerApi) -> None:
    last = last_window()
    await api.admin.call("POST", "/v1/projects", {"name": "other"})
    chat, search = await made(api), await made(api, "search", "other")
    for service in (chat, search):
        await api.use.metric_history.store(window(service, at=last, succeeded=60, latencies={7: 60}, in_flight=2.5))
    ann = await api.user("ann", default="viewer")
    await ann.call("GET", "/v1/services/search/metrics", expect=404)
    await ann.call("GET", "/v1/services/search/metrics/names", expect=404)
    await ann.call("GET", "/v1/metrics/now?project=other", expect=404)
    assert await values(ann, "requests_per_second") != []
    (only,) = (await ann.call("GET", "/v1/metrics/now"))["items"]
    assert (only["name"], only["requests_per_second"], only["latency_p50_s"]) == ("chat", 6.0, 0.175)
    assert (only["in_flight"], only["success_ratio"]) == (2.5, 1.0)
    both = await api.admin.call("GET", "/v1/metrics/now")
    assert ({one["name"] for one in both["items"]}, both["heard"]) == ({"chat", "search"}, True)
    (other,) = (await api.admin.call("GET", "/v1/metrics/now?project=other"))["items"]
    assert other["name"] == "search"


async def test_without_app_proxies_nothing_is_known(api: ManagerApi) -> None:
    now = await api.admin.call("GET", "/v1/metrics/now")
    assert (now["heard"], now["items"]) == (False, [])


async def test_hours_say_what_their_windows_said_and_end_after_a_week(api: ManagerApi) -> None:
    last = last_window()
    chat = await made(api)
    for number in range(12):
        at = last - timedelta(seconds=10 * number)
        await api.use.metric_history.store(window(chat, at=at, succeeded=number, latencies={number: 5}))
    await api.pool.execute("update metric_windows set at = at - interval '3 hours'")
    since: dict[str, Any] = {"from": str(last - 4 * HOUR), "to": str(last - 2 * HOUR), "step_s": 60}
    before = [await values(api.admin, name, **since) for name in ("requests_per_second", "latency_p95_s")]
    assert len(before[0]) >= 2
    loops = [MetricHistoryLoop(api.pool, KernelSamples(SYSTEM_CLOCKS.utc), SYSTEM_CLOCKS.utc) for _ in range(2)]
    await asyncio.gather(*(loop.one_pass() for loop in loops))
    assert await api.pool.fetchval("select count(*) from metric_windows") == 0
    assert [await values(api.admin, name, **since) for name in ("requests_per_second", "latency_p95_s")] == before, (
        "made by one of two managers, and once"
    )
    async with transaction(api.pool) as con:
        assert await retention.drop(con, "metric_hours", WEEK, 500) == 0
    await api.pool.execute("update metric_hours set hour = hour - interval '7 days'")
    async with transaction(api.pool) as con:
        assert await retention.drop(con, "metric_hours", WEEK, 500) > 0


async def test_resources_are_kept_of_replicas_that_are_on_the_machine(api: ManagerApi) -> None:
    last = last_window()
    chat = await made(api)
    session, kernel = await api.runs("chat")
    samples = KernelSamples(lambda: last)
    one = {"service_id": chat, "session_id": session, "kernel_id": kernel, "kernel": {"cpu_used": 1.5, "mem": 2**30}}
    foreign = KernelSample.model_validate(one | {"session_id": new_uuid()})
    told = KernelSample.model_validate(one)
    await samples.heard(KernelMetrics(agent_id="agent-1", at=last, samples=(told, foreign)))
    await samples.heard(KernelMetrics(agent_id="elsewhere", at=last, samples=(told,)))
    await MetricHistoryLoop(api.pool, samples, SYSTEM_CLOCKS.utc).one_pass()
    assert await values(api.admin, "cpu_cores", step_s=10) == [1.5]
    assert await values(api.admin, "memory_bytes", step_s=10, by="replica") == [2**30]
    assert samples.take() == {}


async def test_replicas_are_noted_as_they_change(api: ManagerApi) -> None:
    chat = await made(api)
    await made(api, "idle")
    loop = MetricHistoryLoop(api.pool, KernelSamples(SYSTEM_CLOCKS.utc), SYSTEM_CLOCKS.utc)
    await api.pool.execute("update services set wanted = 2, goal = 'running' where name = 'chat'")
    await loop.one_pass()
    await api.runs("chat")
    await api.pool.execute("update sessions set health = 'healthy'")
    await api.pool.execute("update kernels set state = 'running'")
    for _ in range(3):
        await loop.one_pass()
    kept = await api.pool.fetch("select wanted, healthy from replica_counts where service_id = $1 order by at", chat)
    assert [tuple(row) for row in kept] == [(2, 0), (2, 1)], "what does not change costs nothing"
    assert (await values(api.admin, "replicas_healthy", step_s=10))[-1] == 1


async def test_what_cannot_be_asked_is_refused_with_what_can(api: ManagerApi) -> None:
    await made(api)
    names = await api.admin.call("GET", "/v1/services/chat/metrics/names")
    assert {"name": "queued", "unit": "requests", "by": ["service"]}.items() <= {
        one["name"]: one for one in names["items"]
    }["queued"].items()
    for query, found in (
        ("series=latency_p98_s", "latency_p99_s"),
        ("series=queued&by=replica", "service for queued"),
        ("step_s=15", "multiple of 10"),
    ):
        problem = await api.admin.call("GET", f"/v1/services/chat/metrics?{query}", expect=400)
        assert found in problem["detail"], problem
