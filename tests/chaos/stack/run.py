"""Run of a stack under load, one step of faults after the other, with a check of everything at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.stack.account import Account, FaultRecord, read_journal, settle
from tests.chaos.stack.faults import Fault, made
from tests.chaos.stack.fleet import SERVICES, Fleet, running
from tests.chaos.stack.load import Callers, Load
from tests.chaos.stack.schedule import Step
from tests.chaos.stack.settled import contradictions, left_over, until_settled
from tests.support.wait import eventually

RECOVERS_S = 120.0
"""Longest until all is as wanted after a step; a lost machine alone takes 8 s to be found, and a busy host starts programs slowly."""
CALM_S = 1.0
"""After a step, before the next."""


@dataclass
class Result:
    """Result of a run."""

    seed: int
    seconds: float
    faults: list[FaultRecord]
    account: Account
    wrong: list[str] = field(default_factory=list)
    """Everything but requests: what did not recover, contradicts itself, or was left."""

    @property
    def passed(self) -> bool:
        """Whether no rule was broken, everything recovered, and nothing was left over."""
        return not self.wrong and not self.account.broken


async def run(
    folder: Path,
    *,
    seed: int,
    steps: Iterable[Step],
    minutes: float,
    rate: float,
    small: bool,
    tell: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
) -> Result:
    """Run `steps` for at most `minutes`, and until `stopped`, in `folder`."""
    began = time.monotonic()
    wrong: list[str] = []
    async with running(folder, small=small) as fleet:
        await fleet.begin()
        tell(f"the stack runs after {time.monotonic() - began:.0f} s, in {folder}")
        callers = Callers("127.0.0.1", fleet.proxy_port, fleet.tokens, fleet.project_token)
        async with Load(callers, rate=rate, seed=seed) as load:
            under = _Faults(fleet, load, seed, tell)
            until = time.monotonic() + minutes * 60
            try:
                for step in steps:
                    if not step.at_once:
                        await under.recovered()
                    if time.monotonic() > until or stopped():
                        break
                    await under.step(step)
                await under.recovered()
            except AssertionError as error:
                wrong.append(str(error))
        faults = under.happened
        account = settle(load.asked, read_journal(fleet.journal.read_text().splitlines()), faults, load.sent)
        wrong += await _end(fleet)
        code = await fleet.end()
        wrong += [f"the stack ended with {code}"] if code else []
        wrong += [f"left running: {one}" for one in fleet.clean()]
    return Result(seed, time.monotonic() - began, faults, account, wrong)


class _Faults:
    """Executes the steps, and records the faults."""

    def __init__(self, fleet: Fleet, load: Load, seed: int, tell: Callable[[str], None]) -> None:
        self.happened: list[FaultRecord] = []
        self._fleet, self._load, self._seed, self._tell = fleet, load, seed, tell

    async def step(self, step: Step) -> None:
        """Begin and end the faults of a step. AssertionError when that is not possible."""
        chance = step.chance(self._seed)
        drawn = [made(kind, chance) for kind in step.kinds]
        own = []
        for fault, _ in drawn:
            happened = FaultRecord(step.number, fault.kind, fault.target, time.monotonic(), frozenset())
            own.append(happened)
            self.happened.append(happened)
            await fault.begin(self._fleet, self._load)
            # Known only now: whom it hit.
            happened.target, happened.costs, happened.sessions = fault.target, fault.costs, fault.sessions
        pairs = zip(drawn, own, strict=True)
        await asyncio.gather(*(self._ended(fault, after_s, one) for (fault, after_s), one in pairs))
        self._tell(f"{step.number:4} {_words(own)}: {self._load.sent} sent, {self._load.open} open")
        await asyncio.sleep(CALM_S)

    async def recovered(self) -> None:
        """Wait until everything has recovered. AssertionError after RECOVERS_S."""
        pending = [one for one in self.happened if one.recovered_s is None]
        began_s = time.monotonic()
        left = await until_settled(self._fleet, within_s=RECOVERS_S)
        numbers = ", ".join(sorted({str(one.number) for one in pending}, key=int))
        assert not left, f"not as wanted {RECOVERS_S:.0f} s after step {numbers} ({_words(pending)}): {'; '.join(left)}"
        for one in pending:
            one.recovered_s = time.monotonic()
        if pending:
            self._tell(f"     all as wanted after {time.monotonic() - began_s:.1f} s")

    async def _ended(self, fault: Fault, after_s: float, happened: FaultRecord) -> None:
        await asyncio.sleep(after_s)
        await fault.end(self._fleet, self._load)
        happened.ended_s = time.monotonic()


def _words(faults: Iterable[FaultRecord]) -> str:
    return " and ".join(f"{one.kind} ({one.target})" for one in faults)


async def _end(fleet: Fleet) -> list[str]:
    """Return what is wrong after all faults and all load: first with the services, then without them."""
    if left := await until_settled(fleet, within_s=RECOVERS_S, ruled=True):
        return [f"at the end: {one}" for one in left] + await contradictions(fleet)
    wrong = [f"in the database: {one}" for one in await contradictions(fleet)]
    for name in SERVICES:
        await fleet.ask("DELETE", f"/v1/services/{name}", done=404)
    last: list[str] = []

    async def nothing() -> bool:
        last[:] = await left_over(fleet)
        return not last

    try:
        await eventually(nothing, within_s=RECOVERS_S, every_s=0.5)
    except AssertionError:
        wrong += [f"after every service was deleted: {one}" for one in last]
    return wrong + [f"in the database: {one}" for one in await contradictions(fleet)]
