"""The walk that corrects what is counted of a folder: in parts, beside deletions, with a storage that fails."""

from __future__ import annotations

import itertools
import shutil
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.manager.folders import measuring
from headrace.manager.folders.storage import open_storage
from headrace.manager.loops.measuring import PASS_S, MeasuringLoop
from tests.support.worlds.manager_api import ManagerApi


async def counted(api: ManagerApi, folder: str) -> tuple[int, int]:
    """Return the bytes and files that count of the folder."""
    row = await api.pool.fetchrow("select stored_bytes, stored_files from folders where id = $1", UUID(folder))
    return row["stored_bytes"], row["stored_files"]


async def with_files(api: ManagerApi, name: str, files: int) -> str:
    """Make a folder in which a container wrote files of ten bytes, which nobody counted, and which is due."""
    folder = await api.admin.folder(name, {})
    for number in range(files):
        (api.folders / folder / f"f{number}").write_bytes(b"x" * 10)
    await api.pool.execute("update folders set measured_at = null where id = $1", UUID(folder))
    return str(folder)


async def test_a_walk_that_takes_longer_than_a_pass_is_continued_by_the_next_ones(
    api: ManagerApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "STEP_ENTRIES", 2)
    folder, poked = await with_files(api, "m", 5), list[str]()
    ticks = itertools.count(0.0, PASS_S + 1)
    with open_storage(api.folders) as storage:
        loop = MeasuringLoop(api.pool, storage, poked.append, every=timedelta(days=1), monotonic=lambda: next(ticks))
        for _ in range(2):
            await loop.one_pass()
            assert await counted(api, folder) == (0, 0), "what was found by half is not told"
        assert poked == ["measuring"] * 2
        await loop.one_pass()
        assert await counted(api, folder) == (50, 5)
        assert poked == ["measuring"] * 3, "the next part, and then the next folder, follow at once"
        await loop.one_pass()
        assert poked == ["measuring"] * 3, "nothing is due for a day"


async def test_a_folder_that_is_gone_from_the_disk_is_left_as_it_is_counted_and_the_next_one_is_walked(
    api: ManagerApi,
) -> None:
    gone, stays = await with_files(api, "gone", 1), await with_files(api, "stays", 2)
    await api.pool.execute("update folders set stored_bytes = 7, stored_files = 1 where id = $1", UUID(gone))
    shutil.rmtree(api.folders / gone)
    poked = list[str]()
    with open_storage(api.folders) as storage:
        loop = MeasuringLoop(api.pool, storage, poked.append, every=timedelta(days=1))
        for _ in range(3):
            await loop.one_pass()
    assert poked == ["measuring"] * 2
    assert await counted(api, gone) == (7, 1)
    assert await counted(api, stays) == (20, 2)


async def test_a_walk_that_the_storage_interrupts_is_begun_anew_and_nothing_of_it_counts_twice(
    api: ManagerApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "STEP_ENTRIES", 2)
    folder = await with_files(api, "m", 3)
    with open_storage(api.folders) as storage:
        calls, let_go, close_later = storage.call, list[object](), storage.let_go
        asked = itertools.count()

        async def fails_at_the_second(function: Any, **more: Any) -> Any:
            if next(asked) == 1:
                raise Unavailable("the storage did not answer within 60 s", reason=ApiReason.STORAGE_SLOW)
            return await calls(function, **more)

        def closes(one: Any) -> Any:
            let_go.append(one)
            return close_later(one)

        monkeypatch.setattr(storage, "call", fails_at_the_second)
        monkeypatch.setattr(storage, "let_go", closes)
        loop = MeasuringLoop(api.pool, storage, lambda *_: None, every=timedelta(0))
        with pytest.raises(Unavailable):
            await loop.one_pass()
        assert [type(one) for one in let_go] == [measuring.UsageWalk], "its open directories are closed"
        assert await counted(api, folder) == (0, 0)
        await loop.one_pass()
        assert await counted(api, folder) == (30, 3)
