"""Benchmark of the autoscaler on a real NATS and Valkey: CPU of sample ingestion, and time of a tick over many services.

Samples come over the bus, 10,000 a second for five seconds, from a process of their own; the CPU of the autoscaler's
process is that of receiving, decoding, buffering and flushing them. Each number stands beside a baseline measured in
the same run: one sorted-set write per value (pipelined), and one range read per series (pipelined). Results go to
build/bench-autoscaler.json. Fails when a target is missed: 10,000 samples/s below half a core, also with engine
metrics; 1,000 services × 5 rules below 1 s a tick.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median
from uuid import uuid4

import uvloop
from redis.asyncio import Redis

from benchmarks.judged import Case, judge
from headrace.autoscaler.bus import QUEUE
from headrace.autoscaler.metrics import SAMPLES as TAKEN
from headrace.autoscaler.settings import Settings
from headrace.autoscaler.wiring import Autoscaler, Edges, make_autoscaler, open_redis
from headrace.common.bus.connect import Bus, open_bus
from headrace.common.bus.consume import subscribed
from headrace.common.bus.permissions import embedded_users
from headrace.common.contracts.ids import AgentId, KernelId, RuleId, ServiceId, SessionId
from headrace.common.contracts.messages.metrics import KernelMetrics, KernelSample
from headrace.common.contracts.messages.rules import LiveReplica, Rule, RuleTable
from headrace.common.contracts.rule import Comparator, MetricSource, RuleSpec
from headrace.common.runtime.loop import Loop
from headrace.embedded.stack import EmbeddedServers
from tests.support.wait import eventually

SERVICES, REPLICAS, RULES = 1000, 3, 5
SAMPLES, SECONDS, IN_MESSAGE = 10_000, 5, 100
"""Samples a second, for how long, and how many in a message."""
AGENT, MAX_WAIT_S = AgentId("agent-1"), 60.0
METRICS = ("cpu_util", "mem_util", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:num_requests_running")
KERNEL = {
    "cpu_util": 50.0,
    "cpu_used": 0.5,
    "mem": 1e9,
    "mem_util": 40.0,
    "net_rx": 1e3,
    "net_tx": 1e3,
    "cuda_util": 70.0,
    "cuda_mem_util": 80.0,
}
ENGINE = {**{f"vllm:some_counter_{n}_total": float(n) for n in range(20)}, **dict.fromkeys(METRICS[2:], 1.0)}


async def load(autoscaler: Autoscaler) -> list[RuleTable]:
    """Give it services with rules; return their tables."""
    tables = [_table() for _ in range(SERVICES)]
    for table in tables:
        await autoscaler.tables.deliver(table)
    return tables


def _table() -> RuleTable:
    rules = tuple(
        Rule(
            rule_id=RuleId(uuid4()),
            spec=RuleSpec(
                source=MetricSource.KERNEL if ":" not in metric else MetricSource.INFERENCE_FRAMEWORK,
                metric=metric,
                comparator=Comparator.GREATER_THAN,
                threshold=1e12,
                step=1,
                max_replicas=10,
            ),
        )
        for metric in METRICS[:RULES]
    )
    replicas = tuple(
        LiveReplica(session_id=SessionId(uuid4()), kernel_ids=(KernelId(uuid4()),)) for _ in range(REPLICAS)
    )
    return RuleTable(service_id=ServiceId(uuid4()), generation=1, wanted=REPLICAS, replicas=replicas, rules=rules)


def messages(tables: list[RuleTable], samples: int, *, engine: bool) -> list[bytes]:
    """Return encoded samples of the services' kernels in turn."""
    kernels = [(t.service_id, r.session_id, r.kernel_ids[0]) for t in tables for r in t.replicas]
    made, encoded = [], []
    for number in range(samples):
        service, session, kernel = kernels[number % len(kernels)]
        made.append(
            KernelSample(
                service_id=service, session_id=session, kernel_id=kernel, kernel=KERNEL, engine=ENGINE if engine else {}
            )
        )
        if len(made) == IN_MESSAGE:
            encoded.append(KernelMetrics(agent_id=AGENT, at=datetime.now(UTC), samples=tuple(made)).encode())
            made = []
    return encoded


async def _cpu(work: Callable[[], Awaitable[None]], *, times: int = 3) -> tuple[float, float]:
    """Return median CPU and wall seconds of this process for `work`."""
    measured = []
    for _ in range(times):
        cpu, wall = time.process_time(), time.monotonic()
        await work()
        measured.append((time.process_time() - cpu, time.monotonic() - wall))
    return median(c for c, _ in measured), median(w for _, w in measured)


async def ingest(
    autoscaler: Autoscaler, tables: list[RuleTable], bus: Bus, servers: EmbeddedServers, *, engine: bool
) -> float:
    """Return the cores that SAMPLES a second cost, sent over the bus by a process of its own; asserts that none is lost."""
    user, password = servers.nats_user(AGENT)
    spawn = multiprocessing.get_context("spawn")
    go = spawn.Event()
    sent = messages(tables, SAMPLES, engine=engine)
    sender = spawn.Process(target=send_samples, args=(servers.nats_url, user, password, sent, go), daemon=True)
    flush = Loop("flush", autoscaler.ingester.flush, every=timedelta(seconds=0.25))
    async with (
        subscribed(bus, KernelMetrics, autoscaler.ingester.take_kernels, queue=QUEUE),
        asyncio.TaskGroup() as group,
    ):
        group.create_task(flush.run())
        await asyncio.to_thread(sender.start)
        until, cpu = _taken() + SAMPLES * SECONDS, time.process_time()
        go.set()
        await eventually(lambda: _taken() >= until, within_s=MAX_WAIT_S, every_s=0.05)
        spent = time.process_time() - cpu
        flush.stop()
    sender.terminate()
    return spent / SECONDS


def _taken() -> float:
    """Return the number of samples ingested, including those that no rule names."""
    found = (sample for metric in TAKEN.collect() for sample in metric.samples if sample.name.endswith("_total"))
    return float(sum(sample.value for sample in found if sample.labels["outcome"] != "dropped"))


def send_samples(url: str, user: str, password: str, encoded: list[bytes], go: Event) -> None:
    """Send these messages once a second, evenly, SECONDS times, after `go`."""
    uvloop.run(_send(url, user, password, encoded, go))


async def _send(url: str, user: str, password: str, encoded: list[bytes], go: Event) -> None:
    async with open_bus(url, user=user, password=password, name="machines") as bus:
        await asyncio.to_thread(go.wait)
        started = time.monotonic()
        for number in range(len(encoded) * SECONDS):
            await bus.client.publish(f"metrics.kernel.{AGENT}", encoded[number % len(encoded)])
            await asyncio.sleep(max(0.0, started + number / len(encoded) - time.monotonic()))
        await bus.client.flush()


async def plain_writes(redis: Redis, writes: int) -> float:
    """Return the CPU seconds of the baseline: the same number of values written one by one in pipelines."""

    async def work() -> None:
        at = time.time()
        for start in range(0, writes, 1000):
            pipe = redis.pipeline(transaction=False)
            for number in range(start, start + 1000):
                pipe.zadd(f"plain:{number % (SERVICES * REPLICAS)}", {f"{at}:{number}": at})
            await pipe.execute()

    return (await _cpu(work))[0]


async def ticks(autoscaler: Autoscaler, tables: list[RuleTable]) -> float:
    """Return the wall seconds of a tick when every replica sent samples since the last one."""
    encoded = messages(tables, SERVICES * REPLICAS, engine=True)
    walls = []
    for _ in range(12):  # the first fill the windows
        for data in encoded:
            await autoscaler.ingester.take_kernels(KernelMetrics.decode(data))
        await autoscaler.ingester.flush()
        started = time.monotonic()
        await autoscaler.tick.one_pass()
        walls.append(time.monotonic() - started)
        if autoscaler.tick.paused is not None:
            raise RuntimeError(autoscaler.tick.paused)
    return median(walls[4:])


async def plain_reads(redis: Redis) -> float:
    """Return the wall seconds of the baseline: one series read per rule and replica, as full as the windows, in pipelines."""
    series = [f"series:{n}" for n in range(SERVICES * REPLICAS * RULES)]
    for start in range(0, len(series), 1000):
        pipe = redis.pipeline(transaction=False)
        for name in series[start : start + 1000]:
            pipe.zadd(name, {f"{n}:50.0": n for n in range(5)})
        await pipe.execute()

    async def work() -> None:
        for start in range(0, len(series), 1000):
            pipe = redis.pipeline(transaction=False)
            for name in series[start : start + 1000]:
                pipe.zrangebyscore(name, 0, 10)
            await pipe.execute()

    return (await _cpu(work))[1]


async def main(folder: Path) -> dict[str, float]:
    async with EmbeddedServers(folder, only={"nats", "valkey"}, users=embedded_users(1)) as servers:
        user, password = servers.nats_user("autoscaler")
        settings = Settings(
            id="bench",
            nats_url=servers.nats_url,
            nats_user=user,
            nats_password=password,
            redis_url=servers.redis_url,
            redis_timeout_s=30,
            lease_s=60,
        )
        redis = open_redis(settings)
        async with open_bus(servers.nats_url, user=user, password=password, name="bench") as bus:
            autoscaler = make_autoscaler(settings, Edges(bus, redis))
            tables = await load(autoscaler)
            values = SAMPLES * 2  # two of a kernel's values are named by a rule
            narrow = await ingest(autoscaler, tables, bus, servers, engine=False)
            plain = await plain_writes(redis, values)
            wide = await ingest(autoscaler, tables, bus, servers, engine=True)
            plain_wide = await plain_writes(redis, SAMPLES * RULES)
            tick = await ticks(autoscaler, tables)
            reads = await plain_reads(redis)
            memory = int((await redis.info("memory"))["used_memory"])
            await redis.aclose()
    return {
        "ingest_cores_at_10000_per_s": narrow,
        "ingest_vs_plain_pipeline": narrow / plain,
        "ingest_with_engine_metrics_cores_at_10000_per_s": wide,
        "ingest_with_engine_metrics_vs_plain_pipeline": wide / plain_wide,
        "tick_s": tick,
        "tick_vs_plain_reads": tick / reads,
        "redis_bytes": memory,
    }


def show(results: dict[str, float]) -> bool:
    """Print the results; return whether all targets are met."""
    narrow, wide, tick = "ingest_cores_at_10000_per_s", "ingest_with_engine_metrics_cores_at_10000_per_s", "tick_s"
    print(
        f"the autoscaler, of {SERVICES:,} services × {RULES} rules × {REPLICAS} replicas; as a peer what Redis does plainly, pipelined:"
    )
    held = judge(
        [
            Case(
                f"{SAMPLES:,} samples/s taken in over the bus",
                results[narrow],
                "at most",
                0.5,
                " cores",
                f"{results['ingest_vs_plain_pipeline']:.2f} × one write per value",
            ),
            Case(
                f"with {len(ENGINE)} engine metrics each",
                results[wide],
                "at most",
                0.5,
                " cores",
                f"{results['ingest_with_engine_metrics_vs_plain_pipeline']:.2f} × one write per value",
            ),
            Case(
                "a tick",
                results[tick],
                "at most",
                1.0,
                " s",
                f"{results['tick_vs_plain_reads']:.2f} × reading each series",
            ),
        ]
    )
    print(f"  Redis holds {results['redis_bytes'] / 2**20:.0f} MiB (the peers' keys included)")
    return held


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        found = uvloop.run(main(Path(temporary) / "data"))
    target = Path("build") / "bench-autoscaler.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(0 if show(found) else 1)
