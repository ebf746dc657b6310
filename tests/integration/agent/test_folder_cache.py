"""Folder cache of an agent, on a real disk, with folders from a manager's real API."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.agent.domain.fetch_requests import PIECE_BYTES
from headrace.agent.folder_cache.errors import CacheFull, SnapshotRefused
from headrace.common.contracts.manifest import MANIFEST, snapshot_files
from tests.support.disk import small_disk
from tests.support.snapshots import manifest_of, put_snapshot
from tests.support.wait import eventually
from tests.support.worlds.folder_cache import FILES, LARGE, Machine, fetched_bytes


async def test_a_snapshot_becomes_a_read_only_tree_with_its_files(machine: Machine) -> None:
    snapshot_id = await machine.has(FILES, executable=["run.sh"])
    async with machine.cache() as cache:
        assert await machine.provide(cache, snapshot_id) == FILES
        tree = cache.path(snapshot_id)
    inside = list(tree.rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in [tree, *inside] if path.is_dir()} == {0o555}
    modes = {path.name: path.stat().st_mode & 0o777 for path in inside if path.is_file()}
    assert modes == dict.fromkeys(modes, 0o444) | {"run.sh": 0o555}
    last = machine.said[-1]
    assert last.phase == "linking"
    assert last.bytes_done == last.bytes_total == sum(map(len, FILES.values()))
    assert list(dict.fromkeys(one.phase for one in machine.said)) == ["manifest", "fetching", "linking"]


async def test_replicas_that_start_at_once_fetch_once_and_later_ones_nothing(machine: Machine) -> None:
    snapshot_id = await machine.has(FILES)
    before = fetched_bytes()
    async with machine.cache() as cache:
        both = await asyncio.gather(*(machine.provide(cache, snapshot_id) for _ in range(3)))
        assert both == [FILES] * 3
        assert fetched_bytes() - before == sum(map(len, FILES.values()))
        await machine.link.cut()
        assert await machine.provide(cache, snapshot_id) == FILES
    async with machine.cache() as restarted:
        assert await machine.provide(restarted, snapshot_id) == FILES, "nobody is asked"


async def test_another_snapshot_fetches_only_what_is_new_in_it(machine: Machine) -> None:
    first = await machine.has(FILES)
    async with machine.cache() as cache:
        await machine.provide(cache, first)
        before = fetched_bytes()
        second = await machine.has(FILES | {"config.json": b'{"a": 1}', "copy.bin": LARGE})
        assert (await machine.provide(cache, second))["copy.bin"] == LARGE
        assert fetched_bytes() - before == len(b'{"a": 1}')
        one, other = (cache.path(snapshot) / "model.bin" for snapshot in (first, second))
        assert one.samefile(other)


async def test_snapshots_with_the_same_files_that_are_fetched_at_once_share_them(machine: Machine) -> None:
    some = [FILES | {"number": str(number).encode()} for number in range(3)]
    ids = [put_snapshot(machine.api.folders, machine.folder_id, files) for files in some]
    await machine.plans(*ids)
    before = fetched_bytes()
    async with machine.cache() as cache:
        assert await asyncio.gather(*(machine.provide(cache, one) for one in ids)) == some
    assert fetched_bytes() - before == sum(map(len, FILES.values())) + 3


@pytest.mark.parametrize("restart", [False, True])
async def test_a_fetch_goes_on_where_a_broken_connection_or_a_restart_ended_it(
    machine: Machine, *, restart: bool
) -> None:
    files = FILES | {"model.bin": random.Random(2).randbytes(PIECE_BYTES * 4)}
    snapshot_id = await machine.has(files)
    journal = machine.root / "partial" / f"{hashlib.sha256(files['model.bin']).hexdigest()}.pieces"
    before = fetched_bytes()
    async with machine.cache() as cache:
        providing = asyncio.create_task(machine.provide(cache, snapshot_id))
        await eventually(lambda: journal.exists() and journal.read_text() != "")
        await machine.link.cut()
        await eventually(lambda: machine.said[-1].problem is not None)
        if restart:
            providing.cancel()
            await asyncio.gather(providing, return_exceptions=True)
            assert not cache.path(snapshot_id).exists()
        await machine.link.mend()
        if not restart:
            assert await providing == files
    if restart:
        async with machine.cache() as restarted:
            assert await machine.provide(restarted, snapshot_id) == files
    again = fetched_bytes() - before - sum(map(len, files.values()))
    assert again <= 3 * PIECE_BYTES, "pieces that were whole did not come again"
    assert not list((machine.root / "partial").iterdir())


async def test_what_was_written_to_is_found_and_mended(machine: Machine) -> None:
    snapshot_id = await machine.has(FILES)
    async with machine.cache() as cache:
        await machine.provide(cache, snapshot_id)
        victim = cache.path(snapshot_id) / "model.bin"
        victim.chmod(0o644)
        with victim.open("r+b") as file:
            file.seek(1000)
            file.write(b"!")
        (cache.path(snapshot_id) / "a").chmod(0o755)
        (cache.path(snapshot_id) / "a" / "empty").unlink()
        before = fetched_bytes()
        assert await machine.provide(cache, snapshot_id) == FILES
        assert fetched_bytes() - before == len(LARGE)
        assert (cache.path(snapshot_id) / "a").stat().st_mode & 0o777 == 0o555


async def test_what_an_unfinished_fetch_left_is_read_before_it_is_used(machine: Machine) -> None:
    snapshot_id = await machine.has(FILES)
    async with machine.cache() as cache:
        await machine.provide(cache, snapshot_id)
        tree = cache.path(snapshot_id)
        facts = (tree / "model.bin").stat()
        with (tree / "model.bin").open("r+b") as file:  # as a file whose blocks were lost: the same size, time and mode
            file.write(bytes(1000))
        os.utime(tree / "model.bin", ns=(facts.st_mtime_ns, facts.st_mtime_ns))
        tree.rename(tree.with_name(f".{snapshot_id}.new"))
    before = fetched_bytes()
    async with machine.cache() as restarted:
        assert await machine.provide(restarted, snapshot_id) == FILES
    assert fetched_bytes() - before == len(LARGE)


async def test_the_least_recently_used_snapshot_leaves_and_none_that_is_needed(machine: Machine) -> None:
    size = 2**20
    some = [{"model.bin": random.Random(number).randbytes(size)} for number in range(4)]
    ids = [put_snapshot(machine.api.folders, machine.folder_id, files) for files in some]
    await machine.plans(*ids)
    async with machine.cache(capacity=2 * size + 100) as cache:
        for number in (0, 1):
            await machine.provide(cache, ids[number])
        await machine.provide(cache, ids[0])
        assert await machine.provide(cache, ids[2]) == some[2]
        assert [cache.path(one).exists() for one in ids[:3]] == [True, False, True]
        machine.in_use = {ids[0], ids[2]}
        with pytest.raises(
            CacheFull, match=r"1 MiB are needed; the cache may hold 2 MiB .*, of which replicas use 2 MiB"
        ):
            await machine.provide(cache, ids[3])
        machine.in_use = None
        with pytest.raises(CacheFull):
            await machine.provide(cache, ids[3])
        machine.in_use = {ids[2]}
        assert await machine.provide(cache, ids[3]) == some[3]
        assert [cache.path(one).exists() for one in ids] == [False, False, True, True]
    held = sum(path.stat().st_size for path in (machine.root / "sha256").rglob("*") if path.is_file())
    assert held == 2 * size


async def test_a_disk_without_its_reserve_gets_back_what_nothing_needs(machine: Machine, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as disk:
        machine.root = disk.path / "cache"
        some = [{"model.bin": random.Random(number).randbytes(4 * 2**20)} for number in range(2)]
        ids = [put_snapshot(machine.api.folders, machine.folder_id, files) for files in some]
        await machine.plans(*ids)
        async with machine.cache(reserve=4 * 2**20) as cache:
            for one in ids:
                await machine.provide(cache, one)
            await cache.relieve()
            assert [cache.path(one).exists() for one in ids] == [True, True], "the reserve is there"
            disk.fill(but=2 * 2**20)
            machine.in_use = {ids[0], ids[1]}
            await cache.relieve()
            assert [cache.path(one).exists() for one in ids] == [True, True]
            machine.in_use = {ids[0]}
            await cache.relieve()
            assert [cache.path(one).exists() for one in ids] == [True, False]
            assert disk.free >= 4 * 2**20


async def test_a_file_that_differs_from_its_manifest_is_refused_by_name(machine: Machine) -> None:
    snapshot_id = await machine.has(FILES)
    stored = machine.api.folders / snapshot_files(machine.folder_id, snapshot_id) / "config.json"
    stored.write_bytes(b"[]")
    async with machine.cache() as cache:
        with pytest.raises(SnapshotRefused, match=r"sent config.json 3 times with the digest"):
            await machine.provide(cache, snapshot_id)
        assert not cache.path(snapshot_id).exists()
        stored.write_bytes(FILES["config.json"])
        assert await machine.provide(cache, snapshot_id) == FILES


def _escape(manifest: str) -> str:
    return manifest.replace("config.json", "../outside")


def _other(_: str) -> str:
    return manifest_of({"other": b"content"}).model_dump_json()


@pytest.mark.parametrize(
    ("change", "words"),
    [(_escape, "stays in the folder"), (_other, "was asked for"), (lambda _: "no json", "JSON")],
)
async def test_a_manifest_that_leads_out_of_the_folder_or_is_another_is_refused(
    machine: Machine, change: Callable[[str], str], words: str
) -> None:
    snapshot_id = await machine.has(FILES)
    stored = machine.api.folders / snapshot_files(machine.folder_id, snapshot_id)
    path = stored.parent / MANIFEST
    path.write_text(change(path.read_text()))
    async with machine.cache() as cache:
        with pytest.raises(SnapshotRefused, match=words):
            await machine.provide(cache, snapshot_id)
    assert not (machine.root.parent / "outside").exists()


async def test_what_lies_in_the_cache_and_belongs_to_nothing_is_removed_at_the_start(machine: Machine) -> None:
    snapshot_id = await machine.has(FILES)
    async with machine.cache() as cache:
        await machine.provide(cache, snapshot_id)
    (manifest,) = (machine.root / "manifests").iterdir()
    manifest.write_text("no manifest")
    stray = machine.root / "sha256" / "00" / "stray"
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("x")
    (machine.root / "partial" / ("a" * 64)).write_text("x")
    async with machine.cache() as restarted:
        await restarted.relieve()
        assert [path for path in machine.root.rglob("*") if path.is_file()] == []
        assert await machine.provide(restarted, snapshot_id) == FILES


async def test_a_tree_of_more_files_with_one_content_than_links_are_allowed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    monkeypatch.setattr(os, "link", no_link)
    snapshot_id = await machine.has(FILES)
    async with machine.cache() as cache:
        assert await machine.provide(cache, snapshot_id) == FILES
        await machine.link.cut()
        assert await machine.provide(cache, snapshot_id) == FILES, "copies count as unchanged too"
