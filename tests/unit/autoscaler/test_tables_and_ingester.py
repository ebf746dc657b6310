from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from redis.exceptions import ConnectionError as RedisConnectionError

from headrace.autoscaler import ingester as module
from headrace.autoscaler.domain.window import WHOLE_SERVICE, Origin
from headrace.autoscaler.ingester import Ingester
from headrace.autoscaler.metrics import SAMPLES
from headrace.autoscaler.rule_tables import RuleTables
from headrace.common.contracts.ids import AgentId, KernelId, ServiceId, SessionId
from headrace.common.contracts.messages.metrics import (
    KernelMetrics,
    KernelSample,
    ProxyMetrics,
    ReplicaSample,
    ServiceSample,
)
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.rule import MetricSource
from tests.support.factories.rules import NOW, SERVICE, replica, rule, spec

OTHER = ServiceId(UUID(int=99))


def table(generation: int, *, wanted: int = 1, removed: bool = False, rules: bool = True, **changes: Any) -> RuleTable:
    made = (rule(1, spec()), rule(2, spec(source=MetricSource.INFERENCE_FRAMEWORK, metric="queue", enabled=False)))
    return RuleTable(
        service_id=SERVICE,
        generation=generation,
        wanted=wanted,
        removed=removed,
        rules=made if rules else (),
        replicas=(replica(1),),
        **changes,
    )


async def test_older_tables_are_refused_also_after_a_removal() -> None:
    tables = RuleTables()
    await tables.deliver(table(5, wanted=5))
    await tables.deliver(table(4, wanted=4))
    watched = tables.of(SERVICE)
    assert watched is not None
    assert watched.wanted == 5
    await tables.deliver(table(6, removed=True))
    assert tables.of(SERVICE) is None
    assert tables.removed == {SERVICE}
    await tables.deliver(table(5))
    assert tables.all() == {}
    await tables.deliver(table(7, wanted=7))
    assert tables.removed == set()
    assert set(tables.all()) == {SERVICE}


async def test_what_nobody_publishes_any_more_is_dropped_and_may_be_published_again_in_its_generation() -> None:
    tables = RuleTables()
    await tables.deliver(table(5))
    await tables.forget(f"rules.{SERVICE}")
    assert tables.of(SERVICE) is None
    assert tables.removed == set()  # cooldowns in Redis stay until they expire
    await tables.deliver(table(5))
    assert set(tables.all()) == {SERVICE}


async def test_a_table_without_rules_drops_the_service() -> None:
    tables = RuleTables()
    await tables.deliver(table(1))
    await tables.deliver(table(2, rules=False))
    assert tables.of(SERVICE) is None
    assert tables.removed == {SERVICE}


async def test_the_managers_word_holds_until_a_newer_table() -> None:
    tables = RuleTables()
    await tables.deliver(table(1, wanted=1))
    tables.learn(SERVICE, 4, generation=1)
    watched = tables.of(SERVICE)
    assert watched is not None
    assert watched.wanted == 4
    await tables.deliver(table(2, wanted=2))
    tables.learn(SERVICE, 4, generation=1)  # said before that table
    watched = tables.of(SERVICE)
    assert watched is not None
    assert watched.wanted == 2


class FakeWindows:
    """Keeps what is written, or has Redis away."""

    def __init__(self) -> None:
        self.written: list[Mapping[Any, Any]] = []
        self.away = False
        self.refused: dict[ServiceId, str] = {}

    async def write(self, batch: Mapping[Any, Any]) -> dict[ServiceId, str]:
        if self.away:
            raise RedisConnectionError("away")
        self.written.append(batch)
        return self.refused


async def gathering() -> tuple[Ingester, FakeWindows]:
    tables, windows = RuleTables(), FakeWindows()
    await tables.deliver(table(1))
    return Ingester(tables, windows), windows  # type: ignore[arg-type]


def kernels(*values: tuple[ServiceId, int, dict[str, float], dict[str, float]]) -> KernelMetrics:
    samples = tuple(
        KernelSample(
            service_id=s, session_id=SessionId(UUID(int=n)), kernel_id=KernelId(UUID(int=n)), kernel=k, engine=e
        )
        for s, n, k, e in values
    )
    return KernelMetrics(agent_id="a", at=NOW, samples=samples)


async def test_only_metrics_that_a_rule_names_are_kept() -> None:
    ingester, windows = await gathering()
    await ingester.take_kernels(
        kernels(
            (SERVICE, 1, {"cpu_util": 5, "mem": 1, "queue": 7}, {"queue": 3, "cpu_util": 9}),
            (OTHER, 2, {"cpu_util": 5}, {}),
        )
    )
    await ingester.take_replicas(
        ProxyMetrics(
            proxy_id="p",
            at=NOW,
            samples=(
                ReplicaSample(
                    service_id=SERVICE, session_id=SessionId(UUID(int=1)), values={"queue": 2, "headrace_in_flight": 1}
                ),
                ReplicaSample(service_id=OTHER, session_id=SessionId(UUID(int=1)), values={"queue": 2}),
            ),
        )
    )
    await ingester.flush()
    one = str(UUID(int=1))
    assert windows.written == [
        {
            SERVICE: {
                (Origin.KERNEL, one, ""): {"cpu_util": [5, 1]},
                (Origin.ENGINE, one, ""): {"queue": [3, 1]},
                (Origin.PROXY, one, "p"): {"queue": [2, 1]},
            }
        }
    ]


async def test_what_an_app_proxy_says_of_the_service_itself_is_kept_apart_from_its_replicas() -> None:
    ingester, windows = await gathering()
    said = (ServiceSample(service_id=service, values={"queue": 4, "other": 1}) for service in (SERVICE, OTHER))
    await ingester.take_replicas(ProxyMetrics(proxy_id="p", at=NOW, samples=(), services=tuple(said)))
    await ingester.flush()
    assert windows.written == [{SERVICE: {(Origin.PROXY, WHOLE_SERVICE, "p"): {"queue": [4, 1]}}}]


async def test_values_between_two_flushes_are_summed_up() -> None:
    ingester, windows = await gathering()
    for value in (1.0, 2.0, 6.0):
        await ingester.take_kernels(kernels((SERVICE, 1, {"cpu_util": value}, {})))
    await ingester.flush()
    await ingester.flush()
    assert windows.written == [{SERVICE: {(Origin.KERNEL, str(UUID(int=1)), ""): {"cpu_util": [9.0, 3]}}}, {}]


async def test_samples_of_a_service_whose_rules_went_before_the_flush_are_not_written() -> None:
    tables, windows = RuleTables(), FakeWindows()
    await tables.deliver(table(1))
    ingester = Ingester(tables, windows)  # type: ignore[arg-type]
    await ingester.take_kernels(kernels((SERVICE, 1, {"cpu_util": 1.0}, {})))
    await tables.deliver(table(2, rules=False))
    await ingester.flush()
    assert windows.written == [{}]


async def test_while_redis_is_away_samples_are_dropped_and_not_kept_for_later() -> None:
    ingester, windows = await gathering()
    windows.away = True
    await ingester.take_kernels(kernels((SERVICE, 1, {"cpu_util": 1.0}, {})))
    await ingester.flush()
    windows.away = False
    await ingester.flush()
    assert windows.written == [{}]


async def test_what_redis_refuses_of_one_service_is_counted_as_dropped_and_nothing_else() -> None:
    tables, windows = RuleTables(), FakeWindows()
    await tables.deliver(table(1))
    await tables.deliver(table(1).model_copy(update={"service_id": OTHER}))
    ingester = Ingester(tables, windows)  # type: ignore[arg-type]
    windows.refused = {OTHER: "WRONGTYPE"}
    dropped = SAMPLES.labels("dropped")._value.get()
    await ingester.take_kernels(
        kernels((SERVICE, 1, {"cpu_util": 1}, {}), (OTHER, 2, {"cpu_util": 1}, {}), (OTHER, 3, {"cpu_util": 1}, {}))
    )
    await ingester.flush()
    assert windows.written[0].keys() == {SERVICE, OTHER}
    assert SAMPLES.labels("dropped")._value.get() == dropped + 2


async def test_a_service_of_which_nothing_is_wanted_is_not_written() -> None:
    ingester, windows = await gathering()
    await ingester.take_kernels(kernels((SERVICE, 1, {"mem": 1}, {"other": 1})))
    await ingester.flush()
    assert windows.written == [{}]


async def test_what_is_held_between_two_flushes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPORTERS", 3)
    ingester, windows = await gathering()
    await ingester.take_kernels(kernels(*((SERVICE, n, {"cpu_util": 1.0}, {}) for n in range(10))))
    await ingester.flush()
    assert len(windows.written[0][SERVICE]) == 3
    await ingester.take_kernels(kernels((SERVICE, 1, {"cpu_util": 1.0}, {})))
    await ingester.flush()
    assert len(windows.written[1][SERVICE]) == 1


@pytest.mark.parametrize("machine", ["a", "b"])
async def test_samples_count_only_from_the_machine_where_the_kernel_runs(machine: str) -> None:
    tables, windows = RuleTables(), FakeWindows()
    there = replica(1).model_copy(update={"agent_ids": (AgentId(machine),)})
    await tables.deliver(table(1).model_copy(update={"replicas": (there,)}))
    ingester = Ingester(tables, windows)  # type: ignore[arg-type]
    before = REGISTRY.get_sample_value("headrace_autoscaler_samples_total", {"outcome": "foreign"}) or 0.0
    await ingester.take_kernels(
        kernels((SERVICE, 100, {"cpu_util": 1.0}, {}), (SERVICE, 200, {"cpu_util": 99.0}, {}))  # 200: of no replica
    )
    await ingester.flush()
    kept = [owner for batch in windows.written for reporters in batch.values() for _, owner, _ in reporters]
    assert kept == ([str(UUID(int=100))] if machine == "a" else [])
    after = REGISTRY.get_sample_value("headrace_autoscaler_samples_total", {"outcome": "foreign"}) or 0.0
    assert after == before + (0 if machine == "a" else 1)
