"""Benchmark of model folders that an agent fetches from a manager over HTTPS, beside nginx with curl and an rsync daemon.

One large file, and 10,000 small ones of 4 KiB. The manager is a process of its own, the agent's cache is in this one; nginx has
the same certificate, rsync none. An agent verifies every file by its SHA-256 and has all of it on the disk at the end; curl and
rsync do neither, so a `sync` after them is measured too. Rounds are interleaved; the ratios are of medians. Then a second
snapshot with the same files, as another revision has them: it must fetch nothing.

Results go to build/bench-folders.json. `python -m benchmarks.folders --mib 256 --rounds 3` is smaller.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import uvloop
from prometheus_client import REGISTRY

from benchmarks.judged import Case, judge
from benchmarks.manager import RunningManager, running_manager
from headrace.agent.folder_cache.cache import CacheLimits, FolderCache
from headrace.agent.folder_cache.managers import AccessToken, ManagerFiles
from headrace.common.bus.permissions import embedded_users
from headrace.common.contracts.ids import FolderId, SnapshotId, new_uuid
from headrace.common.contracts.manifest import MANIFEST, FolderManifest, ManifestFile, snapshot_files
from headrace.common.contracts.messages.folder_access import FolderAccess
from headrace.common.db.migrate import migrate
from headrace.common.db.pool import Pool, open_pool
from headrace.common.runtime.clock import SYSTEM_CLOCKS, utc_now
from headrace.common.runtime.tls import client_context
from headrace.embedded.stack import EmbeddedServers
from headrace.install.certificates import new_authority, new_certificate
from headrace.manager.signing import FolderAccessTokens
from headrace.manager.usecases.snapshot_files import LIFETIME
from tests.support.nginx import installed
from tests.support.ports import free_port
from tests.support.wait import eventually

SMALL_FILES, SMALL_BYTES, IN_DIRECTORY = 10_000, 4096, 100
MIN_LARGE, MIN_SMALL = 0.7, 0.3
_AGENT = "agent-1"
_NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1; user {user};
events {{ worker_connections 64; }}
http {{
  access_log off; sendfile on; default_type application/octet-stream;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/api.crt; ssl_certificate_key {folder}/api.key;
    location / {{ root {root}; }}
  }}
}}
"""
_RSYNC = """
port = {port}
address = 127.0.0.1
use chroot = no
log file = {folder}/rsync.log
[files]
path = {root}
read only = yes
uid = {uid}
gid = {gid}
"""


@dataclass
class Measured:
    """Seconds and CPU seconds of each round, by case."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    async def round(self, case: str, work: Callable[[], Awaitable[None]], *pids: int) -> None:
        """Measure one round; `pids`: servers whose CPU counts too."""
        before, started = _cpu(pids), time.perf_counter()
        await work()
        self.seconds.setdefault(case, []).append(time.perf_counter() - started)
        self.cpu.setdefault(case, []).append(_cpu(pids) - before)


@dataclass(frozen=True)
class Bench:
    """A manager, the folders that it serves, and where an agent and the others put what they fetch."""

    folder: Path
    pool: Pool
    manager: RunningManager
    storage: Path
    folder_id: FolderId

    def snapshot(self, fill: Callable[[Path], object]) -> SnapshotId:
        """Make a snapshot of files, and let the agent's plan name it when it is planned."""
        new = self.folder / "new"
        fill(new)
        manifest = FolderManifest.of(
            ManifestFile(path=str(path.relative_to(new)), size_bytes=path.stat().st_size, sha256=_digest(path))
            for path in new.rglob("*")
            if path.is_file()
        )
        place = self.storage / snapshot_files(self.folder_id, manifest.snapshot_id)
        place.parent.mkdir(parents=True)
        new.rename(place)
        (place.parent / MANIFEST).write_text(manifest.model_dump_json())
        return manifest.snapshot_id

    def files(self, snapshot_id: SnapshotId) -> Path:
        """Return where the files of a snapshot are."""
        return self.storage / snapshot_files(self.folder_id, snapshot_id)

    async def plan(self, *snapshots: SnapshotId) -> None:
        """Let a kernel on the machine mount these."""
        mounts = [{"folder_id": str(self.folder_id), "target": "/m", "snapshot_id": one} for one in snapshots]
        session = new_uuid()
        await self.pool.execute(
            "insert into agents (id, incarnation, sequence, machine, architecture, slots)"
            " values ($1, 'a', 1, '{}', 'x86_64', '{}') on conflict do nothing",
            _AGENT,
        )
        await self.pool.execute(
            "insert into sessions (id, kind, project_id, resource_group, status, resolved)"
            " select $1, 'job', id, 'default', 'placed', $2 from projects limit 1",
            session,
            {"mounts": mounts},
        )
        await self.pool.execute(
            "insert into kernels (id, session_id, agent_id) values ($1, $2, $3)", new_uuid(), session, _AGENT
        )

    @asynccontextmanager
    async def cache(self) -> AsyncIterator[FolderCache]:
        """An empty cache of the agent."""
        root = self.folder / "cache"
        tokens = FolderAccessTokens(bytes(range(32)))

        async def grant() -> FolderAccess:
            token = tokens.issue(_AGENT, issued_at=utc_now(), lifetime=LIFETIME)
            return FolderAccess(token=token, expires_in_s=int(LIFETIME.total_seconds()))

        token = AccessToken(grant, SYSTEM_CLOCKS.monotonic)
        tls = client_context(self.folder / "ca.crt")
        cache = FolderCache(
            root,
            ManagerFiles([self.manager.url], token, tls, connections=4),
            CacheLimits(1 << 40, 0, connections=4),
            in_use=set,
            now=SYSTEM_CLOCKS.utc,
            monotonic=SYSTEM_CLOCKS.monotonic,
        )
        try:
            yield cache
        finally:
            cache.close()
            await asyncio.to_thread(_remove, root)


async def measure(folder: Path, *, mib: int, rounds: int) -> dict[str, float]:
    """Return the results of all cases."""
    found = Measured()
    async with AsyncExitStack() as stack:
        bench = await stack.enter_async_context(_installation(folder))
        large = bench.snapshot(lambda new: _large(new, mib))
        small = bench.snapshot(_small)
        again = bench.snapshot(lambda new: shutil.copytree(bench.files(small), new / "moved"))
        await bench.plan(large, small, again)
        nginx, nginx_port = stack.enter_context(_nginx(folder, bench.files(large)))
        rsync, rsync_port = stack.enter_context(_rsync(folder, bench.files(small)))
        curl = ("curl", "-sS", "--fail", "--cacert", f"{folder}/ca.crt", "-o", f"{folder}/out")
        second = 0.0
        for _ in range(rounds):
            for case, snapshot_id in (("large", large), ("small", small)):
                async with bench.cache() as cache:
                    await found.round(f"{case}_fetch", lambda c=cache, s=snapshot_id: _tree(c, s), bench.manager.pid)  # type: ignore[misc]
                    if case == "small":
                        before = _fetched()
                        await found.round("again", lambda c=cache: _tree(c, again), bench.manager.pid)  # type: ignore[misc]
                        second += _fetched() - before
            await found.round(
                "large_peer", lambda: _run(*curl, f"https://127.0.0.1:{nginx_port}/large"), *_family(nginx)
            )
            await found.round("large_sync", lambda: _run("sync", f"{folder}/out"))
            peer = ("rsync", "-a", f"rsync://127.0.0.1:{rsync_port}/files/", f"{folder}/copy")
            await found.round("small_peer", lambda p=peer: _run(*p), rsync)  # type: ignore[misc]
            await found.round("small_sync", lambda: _run("sync", "-f", f"{folder}/copy"))
            (folder / "out").unlink()
            shutil.rmtree(folder / "copy")
    return {
        "mib": mib,
        "second_bytes": second,
        **{case: median(values) for case, values in found.seconds.items()},
        **{f"{case}_lowest": min(values) for case, values in found.seconds.items()},
        **{f"{case}_highest": max(values) for case, values in found.seconds.items()},
        **{f"{case}_cpu": median(values) for case, values in found.cpu.items()},
    }


def show(found: dict[str, float]) -> bool:
    """Print the results; return whether all targets are met."""
    print(f"folders (load average {found['load_average']:.1f}):")

    def note(case: str, amount: float, unit: str) -> str:
        fetch, peer, sync = found[f"{case}_fetch"], found[f"{case}_peer"], found[f"{case}_sync"]
        return (
            f"{amount / fetch:,.0f}{unit}, {amount / found[f'{case}_fetch_highest']:,.0f} to "
            f"{amount / found[f'{case}_fetch_lowest']:,.0f}; beside {amount / peer:,.0f}{unit}, with sync "
            f"{amount / (peer + sync):,.0f}; CPU {found[f'{case}_fetch_cpu']:.2f} s beside {found[f'{case}_peer_cpu']:.2f} s"
        )

    return judge(
        [
            Case(
                f"a file of {found['mib']:.0f} MiB, times curl from nginx",
                found["large_peer"] / found["large_fetch"],
                "at least",
                MIN_LARGE,
                "",
                note("large", found["mib"], " MiB/s"),
            ),
            Case(
                f"{SMALL_FILES} small files, times rsync",
                found["small_peer"] / found["small_fetch"],
                "at least",
                MIN_SMALL,
                "",
                note("small", SMALL_FILES, " files/s"),
            ),
            Case(
                "bytes of a second snapshot with the same files",
                found["second_bytes"],
                "at most",
                0,
                "",
                f"{found['again']:.2f} s",
            ),
        ]
    )


async def _tree(cache: FolderCache, snapshot_id: SnapshotId) -> None:
    await cache.tree(snapshot_id, lambda _: None)


def _fetched() -> float:
    return REGISTRY.get_sample_value("headrace_agent_folder_fetched_bytes_total") or 0.0


@asynccontextmanager
async def _installation(folder: Path) -> AsyncIterator[Bench]:
    authority = new_authority("bench", datetime.now(UTC))
    pair = new_certificate(authority, ["127.0.0.1"], datetime.now(UTC))
    for name, text in (("ca.crt", authority.certificate), ("api.crt", pair.certificate), ("api.key", pair.key)):
        (folder / name).write_text(text)
    async with AsyncExitStack() as stack:
        servers = EmbeddedServers(folder / "servers", only=("postgres", "nats"), users=embedded_users(1))
        await stack.enter_async_context(servers)
        await migrate(servers.database_url)
        files = {"TLS_CERTIFICATE": str(folder / "api.crt"), "TLS_KEY": str(folder / "api.key"), "LOST_AFTER": "P1D"}
        manager = await stack.enter_async_context(running_manager(servers, folder, ca_file=folder / "ca.crt", **files))
        pool = await stack.enter_async_context(open_pool(servers.database_url, size=2))
        yield Bench(folder, pool, manager, folder / "folders", FolderId(new_uuid()))


def _large(new: Path, mib: int) -> None:
    new.mkdir()
    with (new / "large").open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(2**20))


def _small(new: Path) -> None:
    for number in range(SMALL_FILES):
        file = new / f"d{number // IN_DIRECTORY}" / f"f{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(SMALL_BYTES))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(root: Path) -> None:
    for directory, _, _ in os.walk(root):
        Path(directory).chmod(0o755)
    shutil.rmtree(root)


@contextmanager
def _nginx(folder: Path, root: Path) -> Iterator[tuple[int, int]]:
    port, config = free_port(), folder / "nginx.conf"
    user = "root" if os.geteuid() == 0 else "nobody"
    config.write_text(_NGINX.format(folder=folder, port=port, root=root, user=user))
    with _server(installed("nginx", "nginx-light"), "-c", str(config), "-e", f"{folder}/nginx.log") as pid:
        yield pid, port


@contextmanager
def _rsync(folder: Path, root: Path) -> Iterator[tuple[int, int]]:
    port, config = free_port(), folder / "rsyncd.conf"
    config.write_text(_RSYNC.format(folder=folder, port=port, root=root, uid=os.geteuid(), gid=os.getegid()))
    with _server(installed("rsync", "rsync"), "--daemon", "--no-detach", f"--config={config}", f"--port={port}") as pid:
        yield pid, port


@contextmanager
def _server(*words: str) -> Iterator[int]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


async def _run(*words: str) -> None:
    async def tried() -> bool:
        process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.DEVNULL)
        return await process.wait() == 0

    await eventually(tried, within_s=600)


def _family(pid: int) -> tuple[int, ...]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return pid, *map(int, children)


def _cpu(pids: tuple[int, ...]) -> float:
    """CPU seconds of this process, of commands that it ran, and of these servers."""
    own = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ticks = os.sysconf("SC_CLK_TCK")
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        own += sum(map(int, fields[11:15])) / ticks
    return own


async def main(*, mib: int, rounds: int) -> dict[str, float]:
    """Measure on separate servers."""
    with tempfile.TemporaryDirectory() as temporary:
        return await measure(Path(temporary), mib=mib, rounds=rounds) | {"load_average": os.getloadavg()[0]}


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mib", type=int, default=1024)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    results = uvloop.run(main(mib=given.mib, rounds=given.rounds))
    target = Path("build") / "bench-folders.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(0 if show(results) else 1)
