"""Errors of the storage are answers to callers, each with what it was about; and what a closed pool of threads owes."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.common.contracts.problems import Conflict, InsufficientStorage, NotFound, Problem, Unavailable
from headrace.manager.folders.errors import DiskReserve, problems
from headrace.manager.threads import in_thread


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOENT, NotFound, "there is nothing at a/b in the folder"),
        (errno.ENOTDIR, Conflict, "a/b: something else is in the way"),
        (errno.ELOOP, Conflict, "or a link"),
        (errno.ENAMETOOLONG, Conflict, "a/b is too long for the storage"),
        (errno.ENOSPC, InsufficientStorage, "the storage has no room for a/b"),
        (errno.EDQUOT, InsufficientStorage, "the storage has no room for a/b"),
        (errno.EIO, Unavailable, "the storage cannot be used: Input/output error"),
    ],
)
def test_an_error_of_the_file_system_says_what_it_means_for_the_caller(
    number: int, kind: type[Problem], words: str
) -> None:
    with pytest.raises(Problem) as told, problems("a/b"):
        raise OSError(number, os.strerror(number), "/srv/storage/0190/a/b")
    assert type(told.value) is kind
    assert words in told.value.detail
    assert "/srv" not in told.value.detail, "where the storage lies is nobody's business"


def test_a_full_disk_says_how_much_is_free_where_that_can_be_found_out(tmp_path: Path) -> None:
    for storage, numbers in ((tmp_path, True), (tmp_path / "gone", False)):
        with pytest.raises(InsufficientStorage) as told, problems("a/b", storage=storage, needed_bytes=5 * 2**30):
            raise OSError(errno.ENOSPC, "full")
        assert ("5.0 GiB are needed" in told.value.detail) is numbers
        assert told.value.extra.get("needed_bytes") == (5 * 2**30 if numbers else None)


def test_a_write_that_would_cut_into_the_reserve_is_refused_with_the_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.manager.folders.errors.free_bytes", lambda _: 10 * 2**20)
    reserve = DiskReserve(tmp_path, reserve_bytes=6 * 2**20)
    reserve.check("a/b", 4 * 2**20)
    reserve.check("a/b", 0)
    with pytest.raises(InsufficientStorage, match="storage_reserve_bytes") as told:
        reserve.check("a/b", 4 * 2**20 + 1)
    assert told.value.extra["allowed"] == f"at most {4 * 2**20} bytes now"
    assert told.value.extra["free_bytes"] == 10 * 2**20


def test_a_reserve_that_cannot_be_looked_at_leaves_the_word_to_the_write(tmp_path: Path) -> None:
    DiskReserve(tmp_path / "gone").check("a/b", 2**60)


async def test_work_that_a_closed_pool_refuses_has_ended_for_who_waits_for_its_end() -> None:
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    ends: list[str] = []
    with pytest.raises(RuntimeError, match="shutdown"):
        await in_thread(threads, lambda: ends.append("ran"), timeout_s=5, ended=lambda: ends.append("ended"))
    assert ends == ["ended"]
