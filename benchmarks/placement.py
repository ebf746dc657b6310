"""Benchmark of placement: sessions per second of the scheduler alone, and committed to a real PostgreSQL.

The baseline is a naive scan (every machine visited for every session, most used first), measured in the same run on a
smaller fleet, on which both run. Results go to build/bench-placement.json. Fails when a target is missed: 20,000
sessions/s for 5,000 machines × 8 GPUs and 10,000 pending sessions, also when most do not fit and when all their shapes
differ; 20 times the naive scan; 1,500/s committed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import TypeVar
from uuid import UUID

import uvloop

from benchmarks.judged import Case, judge
from headrace.common.contracts.ids import KernelId, ProjectId, SessionId, new_uuid
from headrace.common.contracts.messages.reports import Gpu
from headrace.common.contracts.messages.reports import Machine as Report
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.slots import GPU_DEVICE, GPU_SHARES, parse_slots
from headrace.common.db.migrate import migrate
from headrace.common.db.pool import Pool, open_pool
from headrace.common.runtime.clock import utc_now
from headrace.embedded.stack import EmbeddedServers
from headrace.manager.domain.placement.scheduler import Machine, Request, place_all
from headrace.manager.domain.variants.inputs import Inputs
from headrace.manager.domain.variants.resolve import resolve
from headrace.manager.loops.placement import PlacementLoop

MACHINES, GPUS, PENDING = 5_000, 8, 10_000
SMALL_MACHINES, SMALL_PENDING = 500, 1_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE = Decimal(1)
CAPACITY = {"cpu": "128", "mem": "1024g"}
SHAPES: list[dict[str, int | str]] = [
    *({"cpu": 4 * gpus, "mem": f"{16 * gpus}g", "cuda.device": gpus} for gpus in (1, 2, 4, 8)),
    *({"cpu": 2, "mem": "8g", "cuda.shares": shares} for shares in ("0.1", "0.2", "0.25", "0.3", "0.5")),
    {"cpu": 4, "mem": "16g"},
]
TARGETS = {
    "mixed": 20_000,
    "mostly_refused": 20_000,
    "thousand_shapes": 20_000,
    "all_shapes_differ_mostly_refused": 20_000,
}
"""Sessions decided in a CPU second."""
TIMES_NAIVE, COMMITTED_PER_S = 20, 1_500
R = TypeVar("R")


def fleet(machines: int, *, busy: int) -> list[Machine]:
    """Return machines with up to `busy` GPUs allocated; with busy = 8 all but one machine in a hundred are full."""
    total = parse_slots(CAPACITY)
    made = []
    for number in range(machines):
        held = (0 if number % 100 == 0 else GPUS) if busy == GPUS else number * 7 % (busy + 1)
        gpus = {f"gpu-{gpu}": Decimal(0 if gpu < held else 1) for gpu in range(GPUS)}
        whole = {f"gpu-{gpu}" for gpu in range(held)}
        made.append(Machine(f"m{number:05}", "default", "x86_64", "process", total, total, gpus, whole))
    return made


def queue(pending: int, *, shapes: int) -> list[Request]:
    """Return pending sessions of `shapes` demand classes: those above, then the same with other amounts of CPU."""
    kinds = [
        parse_slots({**shape, "cpu": Decimal(shape["cpu"]) + Decimal(number // len(SHAPES)) / 1000})
        for number in range(shapes)
        for shape in [SHAPES[number % len(SHAPES)]]
    ]
    return [
        Request(
            SessionId(UUID(int=number)),
            "default",
            "x86_64",
            True,
            dict(kinds[number * 31 % shapes]),  # its own, as each row of the database has
            NOW - timedelta(seconds=100) + timedelta(milliseconds=number),
        )
        for number in range(pending)
    ]


def naive(machines: Sequence[Machine], requests: Sequence[Request]) -> int:  # noqa: C901  # plain on purpose
    """Place by a full scan per session with the same rules; return the number placed."""
    rooms = [(dict(m.free), dict(m.gpus), set(m.whole), m) for m in machines]
    placed = 0
    for request in requests:
        best = None
        for free, gpus, whole, machine in rooms:
            if machine.resource_group != request.resource_group or machine.architecture != request.architecture:
                continue
            if any(free[slot] < amount for slot, amount in request.slots.items() if slot in free):
                continue
            if request.slots.get(GPU_DEVICE, 0) > sum(share == ONE for share in gpus.values()):
                continue
            asked = request.slots.get(GPU_SHARES, Decimal(0))
            if asked and not any(share >= asked and gpu not in whole for gpu, share in gpus.items()):
                continue
            score = (sum(gpus.values()), free["cpu"], free["mem"], machine.id)
            if best is None or score < best[0]:
                best = (score, free, gpus, whole)
        if best is None:
            continue
        placed += 1
        _, free, gpus, whole = best
        for slot, amount in request.slots.items():
            if slot in free:
                free[slot] -= amount
        for gpu in sorted(gpu for gpu, share in gpus.items() if share == ONE)[: int(request.slots.get(GPU_DEVICE, 0))]:
            gpus[gpu] -= ONE
            whole.add(gpu)
        asked = request.slots.get(GPU_SHARES, Decimal(0))
        if asked:
            gpus[min((share, gpu) for gpu, share in gpus.items() if share >= asked and gpu not in whole)[1]] -= asked
    return placed


def timed(work: Callable[[], R], *, times: int = 5) -> tuple[float, R]:
    """Return median CPU seconds of `times` runs, and the result of the last."""
    seconds = []
    for _ in range(times):
        started = time.process_time()
        result = work()
        seconds.append(time.process_time() - started)
    return median(seconds), result


def decisions() -> dict[str, float]:
    found: dict[str, float] = {}
    for name, busy, shapes in (
        ("mixed", 6, len(SHAPES)),
        ("mostly_refused", GPUS, len(SHAPES)),
        ("thousand_shapes", 6, 1_000),
        ("all_shapes_differ_mostly_refused", GPUS, PENDING),
    ):
        machines, requests = fleet(MACHINES, busy=busy), queue(PENDING, shapes=shapes)
        seconds, (placed, _) = timed(lambda m=machines, r=requests: place_all(m, r, NOW))  # type: ignore[misc]  # bound now
        found[f"{name}_per_s"] = PENDING / seconds
        found[f"{name}_placed"] = len(placed)
    machines, requests = fleet(SMALL_MACHINES, busy=6), queue(SMALL_PENDING, shapes=len(SHAPES))
    ours, (placed, _) = timed(lambda: place_all(machines, requests, NOW))
    plain, placed_plainly = timed(lambda: naive(machines, requests), times=1)
    found |= {
        "small_per_s": SMALL_PENDING / ours,
        "naive_per_s": SMALL_PENDING / plain,
        "times_naive": plain / ours,
        "small_placed": len(placed),
        "naive_placed": placed_plainly,
    }
    return found


async def fill(pool: Pool) -> None:
    """Insert the machines and the pending sessions (trial runs: they need no service).

    Specs are resolved like by the API, and machines are like agents report them.
    """
    project = ProjectId(new_uuid())
    total = parse_slots({**CAPACITY, "cuda.device": GPUS})
    slots = {name: str(amount) for name, amount in total.items()}
    report = _report(total)
    specs = [_resolved(shape) for shape in SHAPES]
    sessions, kernels = [], []
    for number in range(PENDING):
        key = SessionId(new_uuid())
        sessions.append((key, "validation", project, specs[number * 31 % len(SHAPES)], "default"))
        kernels.append((KernelId(new_uuid()), key))
    async with pool.acquire() as con:
        await con.execute("insert into projects (id, name) values ($1, 'bench')", project)
        await con.executemany(
            "insert into agents (id, incarnation, sequence, machine, architecture, slots) values ($1, '1', 1, $2, 'x86_64', $3)",
            [(f"m{number:05}", report, slots) for number in range(MACHINES)],
        )
        await con.executemany(
            "insert into sessions (id, kind, project_id, resolved, resource_group) values ($1, $2, $3, $4, $5)",
            sessions,
        )
        await con.executemany("insert into kernels (id, session_id) values ($1, $2)", kernels)
        await con.execute("analyze")


def _resolved(shape: object) -> dict[str, object]:
    asked = {
        "runtime": "cmd",
        "image": "registry.example/engine:1",
        "command": ["serve", "--model", "/models"],
        "port": 8000,
        "architecture": "x86_64",
        "slots": shape,
        "environ": {f"VARIABLE_{number}": "x" * 40 for number in range(20)},
    }
    spec = RevisionSpec.model_validate(asked)
    return resolve(spec, Inputs(name="bench")).spec.model_dump(mode="json")


def _report(slots: dict[str, Decimal]) -> dict[str, object]:
    gpus = tuple(Gpu(gpu_id=f"gpu-{n}", index=n, model="H", memory_bytes=10**11) for n in range(GPUS))
    machine = Report(
        hostname="m", architecture="x86_64", address="10.0.0.1", runtime="docker", version="0", slots=slots, gpus=gpus
    )
    return machine.model_dump(mode="json")


async def committed(folder: Path) -> dict[str, float]:
    """Run one pass of the loop over everything."""
    async with EmbeddedServers(folder, only={"postgres"}) as servers:
        await migrate(servers.database_url)
        async with open_pool(servers.database_url, size=4) as pool:
            await fill(pool)
            started = time.perf_counter()
            await PlacementLoop(pool, utc_now, lambda *_: None, most=PENDING).one_pass()
            seconds = time.perf_counter() - started
            placed = await pool.fetchval("select count(*) from sessions where status = 'placed'")
            held = await pool.fetchval("select count(*) from allocations")
    return {"committed_per_s": placed / seconds, "committed": placed, "committed_s": seconds, "allocations": held}


def show(found: dict[str, float]) -> bool:
    """Print the results; return whether all targets are met."""
    print(f"{PENDING:,} sessions on {MACHINES:,} machines × {GPUS} GPUs, sessions per CPU second decided:")
    decided = [
        Case(
            name.replace("_", " "),
            found[f"{name}_per_s"],
            "at least",
            target,
            "/s",
            f"{found[f'{name}_placed']:,.0f} placed",
        )
        for name, target in TARGETS.items()
    ]
    held = judge(decided)
    small = f"{found['small_per_s']:,.0f}/s beside {found['naive_per_s']:,.0f}/s; placed {found['small_placed']:.0f} and {found['naive_placed']:.0f}"
    committed = (
        f"{found['committed']:,.0f} sessions, {found['allocations']:,.0f} allocations in {found['committed_s']:.2f} s"
    )
    return (
        judge(
            [
                Case(
                    f"{SMALL_PENDING:,} on {SMALL_MACHINES:,}, as against a naive scan",
                    found["times_naive"],
                    "at least",
                    TIMES_NAIVE,
                    " ×",
                    small,
                ),
                Case("committed to PostgreSQL", found["committed_per_s"], "at least", COMMITTED_PER_S, "/s", committed),
            ]
        )
        and held
    )


if __name__ == "__main__":
    results = decisions()
    with tempfile.TemporaryDirectory() as temporary:
        results |= uvloop.run(committed(Path(temporary) / "data"))
    target = Path("build") / "bench-placement.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(0 if show(results) else 1)
