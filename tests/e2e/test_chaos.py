"""The short, seeded form of `make chaos`: the whole stack under faults, with every request accounted for."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from tests.chaos.stack.report import table
from tests.chaos.stack.run import run
from tests.chaos.stack.schedule import steps

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

SEED = 48
KINDS = ("kill-manager", "kill-agent", "kill-appproxy", "kill-nats", "kill-worker", "kill-replica", "stop-replica")
"""Each at least once, and with this seed four of them beside another one. All others: `make chaos`."""


async def test_no_request_is_unexplained_and_all_comes_back(tmp_path: Path) -> None:
    drawn = list(islice(steps(SEED, KINDS), len(KINDS)))
    result = await run(tmp_path, seed=SEED, steps=drawn, minutes=60, rate=20, small=False, tell=print)
    print(table(result))
    assert result.account.broken == []
    assert result.wrong == []
    assert {fault.kind for fault in result.faults} >= set(KINDS)
    # And callers were there, of every kind, and not one of them was refused for no reason.
    assert all(counts["200"] > 10 for counts in result.account.by_kind.values()), result.account.by_kind
    assert len(result.account.by_kind) == 5
