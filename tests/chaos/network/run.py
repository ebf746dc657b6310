"""Run on hosts: rounds of disturbed links under load, then an account of every request."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.network.account import disagreements, entries_of
from tests.chaos.network.bed import GPUS, REPLICAS, USER_TIMEOUT_S, Bed, bed_running
from tests.chaos.network.schedule import LinkFault, Round
from tests.chaos.stack.account import Account, FaultRecord, read_journal, settle
from tests.chaos.stack.load import Load
from tests.chaos.stack.processes import send
from tests.support.impairment import GOOD, SILENT, Quality, impaired

RECOVERS_S = 120.0
"""Longest until all is as wanted after a round."""
_OPEN_THERE = frozenset({"cut", "502:connection-lost", "504:first-byte-timeout", "503:replica-stopped"})
"""What a fault of a machine may cost the requests that were open on its replicas."""
_GONE = frozenset({"cut", "504:replica-unreachable"})
"""What it costs, whomever, if nothing is acknowledged for long."""
_NO_WAY_IN = frozenset({"no-connection", "lost-kept", "408:caller-idle", "408:body-too-slow"})
"""What it costs callers if they cannot reach the app-proxy: their kernel gives up new connections after three seconds; of one
that was idle for too long they do not hear the end, and what they sent on it did not run (RFC 9112, 9.3.1); a body that does not
arrive is refused."""


@dataclass
class Result:
    """Result of a run."""

    seed: int
    rounds: list[Round]
    """Those that were begun."""
    faults: list[FaultRecord]
    account: Account
    seconds: float
    wrong: dict[int, list[str]] = field(default_factory=dict)
    """By round, what was not as wanted after it; by 0, what was wrong at the end."""

    @property
    def failed(self) -> list[int]:
        """Rounds that failed, or that a request which broke a rule has met."""
        met = {number for one in self.account.broken for number in one.during}
        return sorted((met | self.wrong.keys()) - {0})

    @property
    def passed(self) -> bool:
        """Whether no rule was broken, and all came back."""
        return not self.wrong and not self.account.broken


async def run(
    folder: Path,
    *,
    seed: int,
    rounds: Iterable[Round],
    rate: float,
    tell: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
) -> Result:
    """Run the rounds in `folder`, until one fails or `stopped`."""
    began_s = time.monotonic()
    begun: list[Round] = []
    faults: list[FaultRecord] = []
    wrong: dict[int, list[str]] = {}
    async with bed_running(folder) as bed:
        tell(f"the hosts run after {time.monotonic() - began_s:.0f} s, in {folder}")
        async with Load(bed.callers, rate=rate, seed=seed) as load:
            for one in rounds:
                if stopped():
                    break
                begun.append(one)
                try:
                    left = await _round(bed, one, one.chance(seed), faults)
                except* AssertionError as group:
                    left = [str(error) for error in group.exceptions]
                tell(f"{one.number:4} {one}: {load.sent} sent, {load.open} open")
                if left:
                    wrong[one.number] = left
                    break
        if contradictions := await bed.contradictions():
            wrong[0] = contradictions
        runs = read_journal(bed.journal.read_text().splitlines())
        for fault in faults:
            if fault.sessions is not None:  # with those that came to the host during the fault
                fault.sessions |= frozenset().union(*(bed.sessions[host] for host in fault.target.split()))
        account = settle(load.asked, runs, faults, load.sent)
        log = entries_of(json.loads(line) for line in bed.world.log("proxy").splitlines() if "request_ended" in line)
        account.broken += disagreements(load.asked, log, runs, faults)
    return Result(seed, begun, faults, account, time.monotonic() - began_s, wrong)


async def _round(bed: Bed, one: Round, chance: Random, faults: list[FaultRecord]) -> list[str]:
    """Let a round happen; return what is not as wanted afterwards."""
    own = [_record(bed, one.number, fault) for fault in one.faults]
    faults += own
    async with asyncio.TaskGroup() as tasks:
        for fault, record in zip(one.faults, own, strict=True):
            tasks.create_task(_during(bed, fault, record, chance))
        tasks.create_task(_changed(bed, one))
    if bed.replicas != REPLICAS:
        await bed.scale(REPLICAS)
    left = await bed.until_settled(within_s=RECOVERS_S)
    for record in own:
        record.recovered_s = time.monotonic() if not left else None
    return left


def _record(bed: Bed, number: int, fault: LinkFault) -> FaultRecord:
    sessions = frozenset(bed.sessions[fault.host]) if fault.host in GPUS else None
    return FaultRecord(number, fault.kind, fault.host, time.monotonic(), costs_of(fault), sessions)


def costs_of(fault: LinkFault) -> frozenset[str]:
    """Return the outcomes that a fault may cause."""
    costs = frozenset[str]()
    if fault.host in GPUS:
        costs |= _OPEN_THERE
    if fault.host in {"proxy", "callers"}:
        costs |= _NO_WAY_IN
    # What the app-proxy and a replica send each other passes both links. Each retransmission waits twice as long as the one
    # before, so the first after a fault comes within its length again.
    silences = fault.kind in {"down", "deaf", "mute", "loss"}
    if fault.host in {"proxy", *GPUS} and silences and 2 * fault.seconds > USER_TIMEOUT_S - 1:
        costs |= _GONE
    return costs


async def _during(bed: Bed, fault: LinkFault, record: FaultRecord, chance: Random) -> None:
    async with _disturbed(bed, fault, chance):
        await asyncio.sleep(fault.seconds)
    record.ended_s = time.monotonic()


async def _changed(bed: Bed, one: Round) -> None:
    """Change the service in the middle of the round; where its managers are away, once they are back."""
    await asyncio.sleep(one.change_after_s)
    if one.change == "scale":
        await bed.scale(REPLICAS + 1)
    elif one.change == "rollout":
        await bed.update()


@asynccontextmanager
async def _disturbed(bed: Bed, fault: LinkFault, chance: Random) -> AsyncIterator[None]:
    host = bed.world.hosts[fault.host]
    if fault.kind == "down":
        host.cut()
        try:
            yield
        finally:
            host.heal()
    elif fault.kind == "paused":
        pids = bed.world.processes(fault.host)
        send(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            send(pids, signal.SIGCONT)
    else:
        quality = Quality(fault.loss, fault.delay_s, fault.jitter_s)
        ways = {"deaf": (SILENT, GOOD), "mute": (GOOD, SILENT)}.get(fault.kind, (quality, quality))
        with impaired(host, chance, to_host=ways[0], from_host=ways[1]):
            yield
