"""Usage of callers in an app-proxy whose processes are killed: each request is on disk once, for whoever starts next."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from headrace.appproxy.ipc.usage_files import FOLDER, UsageFiles
from tests.integration.appproxy.test_restart import kept, one
from tests.support.factories.route_tables import route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import backend


def on_disk(data: Path) -> tuple[int, int]:
    """Return how many requests the batches on disk have, and how many processes wrote them."""
    files = UsageFiles(data / FOLDER)
    batches = [batch for name in files.names() if (batch := files.read(name))]
    return sum(row.requests for batch in batches for row in batch.rows), len({batch.writer for batch in batches})


async def test_usage_survives_the_death_of_the_parent_and_comes_from_workers_without_one(tmp_path: Path) -> None:
    data, logs = tmp_path / "data", tmp_path / "appproxy.log"
    async with (
        backend() as replica,
        kept(tmp_path, table("chat", routes=(route(port=replica.port),)), workers=1) as (keeper, port),
    ):
        for _ in range(7):
            assert await one(port) == "200"
        await eventually(lambda: on_disk(data) == (7, 1))
        assert keeper.pid is not None
        os.kill(keeper.pid, signal.SIGKILL)
        await eventually(lambda: "parent_lost" in logs.read_text())
        for _ in range(5):
            assert await one(port) == "200"
        await eventually(lambda: keeper.restarts == 1 and keeper.program.ready(), within_s=60)
        await eventually(lambda: on_disk(data)[0] == 12, within_s=60)
    assert on_disk(data)[0] == 12
    assert len(replica.seen) == 12
