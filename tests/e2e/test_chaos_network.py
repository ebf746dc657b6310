"""The short form of `make chaos-net`: two rounds on hosts whose links are disturbed, with every request accounted for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.network.report import table
from tests.chaos.network.run import run
from tests.chaos.network.schedule import LinkFault, Round

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.timeout(300)]

ROUNDS = (
    Round(1, (LinkFault("loss", "gpu-2", 5, loss=0.2), LinkFault("paused", "control", 4)), "scale", 1.0),
    Round(2, (LinkFault("mute", "gpu-1", 11), LinkFault("delay", "proxy", 4, delay_s=0.05, jitter_s=0.05))),
)
"""Two at once each time, most of the ways to disturb a link, and a machine that is lost while its replicas run."""


async def test_every_request_is_explained_and_all_agree_again(tmp_path: Path) -> None:
    result = await run(tmp_path, seed=1, rounds=ROUNDS, rate=10, tell=print)
    print(table(result))
    assert result.account.broken == []
    assert result.wrong == {}
    assert [one.recovered_s is not None for one in result.faults] == [True] * 4
    assert all(counts["200"] > 10 for counts in result.account.by_kind.values()), result.account.by_kind
    assert len(result.account.by_kind) == 5
