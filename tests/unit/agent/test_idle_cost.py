"""What replicas on the process runtime cost the agent while nothing happens: counted, and linear."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace.agent.runtime.process import process_tree
from headrace.agent.runtime.process.layout import KernelLayout
from headrace.agent.runtime.process.process_tree import listening
from headrace.agent.runtime.process.runtime import ProcessRuntime
from headrace.agent.runtime.process.state_files import KernelStateFiles, StartRecord
from headrace.common.contracts.ids import KernelId, ServiceId, SessionId, new_uuid
from headrace.common.runtime.procfs import boot_id, read_stat
from tests.support.opened import opened


@contextmanager
def kernel(data: Path, shim: int, port: int) -> Iterator[KernelId]:
    """A kernel whose shim is `shim`, as far as its files and its lock say."""
    layout = KernelLayout(data, KernelId(new_uuid()))
    layout.folder.mkdir(parents=True)
    layout.lock.parent.mkdir(exist_ok=True)
    StartRecord(SessionId(new_uuid()), ServiceId(new_uuid()), port, datetime.now(UTC), mem_bytes=0, group=None).write(
        layout
    )
    stat = read_stat(shim)
    assert stat is not None
    ids = {"shim": shim, "shim_ticks": stat.started, "child": shim, "child_ticks": stat.started, "boot": boot_id()}
    layout.state.write_text(json.dumps(ids))
    with layout.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield layout.kernel_id


@asynccontextmanager
async def kernels(data: Path, count: int) -> AsyncIterator[tuple[ProcessRuntime, dict[KernelId, int]]]:
    """So many kernels that run, each with a port of its own; this process's parent stands for their shims."""
    with ExitStack() as stack:
        ports = {}
        for _ in range(count):
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = server.getsockname()[1]
            ports[stack.enter_context(kernel(data, os.getppid(), port))] = port
        runtime = ProcessRuntime(data, host="h", log_bytes=1, environ={})
        watcher = asyncio.create_task(runtime.watch(lambda: None))
        try:
            seen = await runtime.list()
            assert {kernel_id: one.port for kernel_id, one in seen.items() if one.phase == "running"} == ports
            yield runtime, ports
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)


async def test_a_look_at_kernels_that_run_opens_two_files_of_each_and_nothing_of_other_processes(
    tmp_path: Path,
) -> None:
    counts = {}
    for number in (3, 9):
        data = tmp_path / str(number)
        async with kernels(data, number) as (runtime, _):
            with opened() as names:
                await runtime.list()
        counts[number] = len(names)
        assert not [name for name in names if name.startswith("/proc")]
        assert {name.rpartition("/")[2] for name in names if "/kernels/" in name} == {"exit.json"}
    assert counts == {3: 3 * 2 + 1, 9: 9 * 2 + 1}  # exit code and lock, and the folder of all kernels


async def test_checks_of_ports_that_are_the_kernels_own_open_nothing_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []

    def counted() -> dict[int, frozenset[str]]:
        reads.append(1)
        return listening()

    monkeypatch.setattr(process_tree, "listening", counted)
    async with kernels(tmp_path, 4) as (runtime, ports):
        for _ in range(2):  # learns whose they are, then reads once for all
            for kernel_id, port in ports.items():
                assert await runtime.port_problem(kernel_id, port) is None
        before = len(reads)
        with opened() as names:
            for _ in range(50):
                for kernel_id, port in ports.items():
                    assert await runtime.port_problem(kernel_id, port) is None
        # The look holds for a time, not for a number of checks: a machine that was held up meanwhile may need another.
        assert len([name for name in names if "/kernels/" not in name]) <= 2 * (len(reads) - before)
        assert len(reads) - before < 50


def test_a_file_that_was_replaced_is_read_again_and_one_that_could_not_be_read_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = KernelStateFiles(tmp_path, "h")
    with kernel(tmp_path, os.getpid(), 5) as kernel_id:
        first = files.started(kernel_id)
        assert first is not None
        layout = KernelLayout(tmp_path, kernel_id)
        StartRecord(first.session_id, None, 6, first.created_at, None, None).write(layout)
        seen = files.observe(kernel_id)
        assert seen is not None
        assert (seen.port, seen.service_id) == (6, None)
        ids = files.ids(kernel_id)
        assert ids is not None
        layout.state.unlink()
        assert files.ids(kernel_id) is None
        layout.state.write_text(json.dumps({name: getattr(ids, name) for name in ids.__slots__}))
        assert files.ids(kernel_id) == ids
        files.keep(())
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(OSError(24, "too many open files")))
            assert files.observe(kernel_id) is None
        assert files.observe(kernel_id) is not None


def test_listening_sockets_are_the_same_by_netlink_and_by_the_systems_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as other,
        socket.create_server(("127.0.0.1", 0), reuse_port=True) as shared,
        socket.create_server(("127.0.0.1", shared.getsockname()[1]), reuse_port=True) as sharing,
        socket.create_connection(one.getsockname()),
    ):
        ours = {server.getsockname()[1] for server in (one, other, shared)}
        by_netlink = {port: inodes for port, inodes in listening().items() if port in ours}
        inodes = Counter(str(os.fstat(server.fileno()).st_ino) for server in (one, other, shared, sharing))
        assert Counter(inode for found in by_netlink.values() for inode in found) == inodes

        def unknown() -> list[tuple[int, str]]:
            raise OSError(93, "Protocol not supported")

        monkeypatch.setattr(process_tree, "listening_sockets", unknown)
        assert {port: found for port, found in listening().items() if port in ours} == by_netlink
