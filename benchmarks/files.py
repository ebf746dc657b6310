"""Benchmark of file transfers by `headrace folder` at a real manager over HTTP, beside `cp` in the same round.

Many small files (5,000 of 4 KiB in 50 directories) and one large file (512 MiB), up and down. Client, manager and
PostgreSQL share the machine. The start of the command is not counted: that of `headrace folder ls`, measured in the
same run. Uploaded files are synced to disk before they are acknowledged, and verified by SHA-256; `cp` does neither. So
one round is the command, `cp`, and for the large file also `cp` with `sync` and `sha256sum`, one after the other; the
ratios are of medians. Results go to build/bench-files.json. Fails when a target is missed: 500 small files a second
either way, and the large file at half the speed of `cp`, `sync` and twice `sha256sum` (the sender's and the receiver's)
up, at half that of `cp` and `sync` down.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import uvloop

from benchmarks.judged import Case, judge
from benchmarks.manager import running_manager
from headrace.common.bus.permissions import embedded_users
from headrace.common.db.migrate import migrate
from headrace.embedded.stack import EmbeddedServers

ROUNDS = 5
SMALL_FILES, SMALL_BYTES, IN_DIRECTORY, LARGE_BYTES = 5_000, 4096, 100, 512 * 2**20
MIN_FILES_PER_S, MIN_SHARE, COMMAND_S = 500, 0.5, 600.0


async def measure(folder: Path) -> dict[str, float]:
    """Return median, lowest and highest seconds of each kind of round."""
    source = folder / "source"
    _make(source)
    found: dict[str, list[float]] = {}
    async with _installation(folder) as environ:

        async def headrace(*words: str) -> float:
            return await _timed(sys.executable, "-m", "headrace.cli", "folder", *words, environ=environ)

        async def note(case: str, seconds: float) -> None:
            found.setdefault(case, []).append(seconds)

        for number in range(ROUNDS):
            await note("start", await headrace("ls"))
            name, copy, back = f"round-{number}", folder / "copy", folder / "back"
            await headrace("create", name)
            await note("small_up", await headrace("upload", name, str(source / "small")))
            await note("small_down", await headrace("download", name, "--to", str(back)))
            _same(source / "small", back)
            await note("small_cp", await _timed("cp", "-r", str(source / "small"), str(copy)))
            for tree in (copy, back):
                shutil.rmtree(tree)
            await headrace("rm", name, "--yes")
            await headrace("create", f"{name}-large")
            await note("large_up", await headrace("upload", f"{name}-large", str(source / "large")))
            await note("large_down", await headrace("download", f"{name}-large", "--to", str(back)))
            await _timed("cmp", str(source / "large"), str(back / "large"))
            await note("large_cp", await _timed("cp", str(source / "large"), str(copy)))
            await note("large_sync", await _timed("sync", str(copy)))
            await note("large_sha", await _timed("sha256sum", str(copy)))
            copy.unlink()
            shutil.rmtree(back)
            await headrace("rm", f"{name}-large", "--yes")
    return {
        f"{case}{kind}": value
        for case, values in found.items()
        for kind, value in (("", median(values)), ("_lowest", min(values)), ("_highest", max(values)))
    }


def _make(source: Path) -> None:
    for number in range(SMALL_FILES):
        file = source / "small" / f"d{number // IN_DIRECTORY}" / f"f{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(SMALL_BYTES))
    with (source / "large").open("wb") as large:
        for _ in range(LARGE_BYTES // 2**20):
            large.write(os.urandom(2**20))


def _same(one: Path, other: Path) -> None:
    here = {path.relative_to(one): path.read_bytes() for path in one.rglob("*") if path.is_file()}
    there = {path.relative_to(other): path.read_bytes() for path in other.rglob("*") if path.is_file()}
    if here != there:
        raise SystemExit("what came back is not what was sent")


async def _timed(*words: str, environ: dict[str, str] | None = None) -> float:
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *words, env=environ, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(COMMAND_S):
        _, said = await process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: {said.decode(errors='replace')}")
    return time.perf_counter() - started


@asynccontextmanager
async def _installation(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run servers and a manager. Yields the environment of a command that calls it."""
    async with AsyncExitStack() as stack:
        servers = EmbeddedServers(folder / "servers", only=("postgres", "nats"), users=embedded_users(1))
        await stack.enter_async_context(servers)
        await migrate(servers.database_url)
        manager = await stack.enter_async_context(running_manager(servers, folder))
        yield {
            **os.environ,
            "HEADRACE_URL": manager.url,
            "HEADRACE_API_KEY": manager.key,
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }


def show(found: dict[str, float]) -> bool:
    """Print the results; return whether all targets are met."""
    start = found["start"]
    print(
        f"files, {ROUNDS} rounds (load average {found['load_average']:.1f}), without {start:.1f} s in which each command starts:"
    )

    def net(case: str) -> float:
        return max(found[case] - start, 0.001)

    cases = []
    for way in ("up", "down"):
        seconds = net(f"small_{way}")
        note = (
            f"{SMALL_FILES / net(f'small_{way}_highest'):.0f} to {SMALL_FILES / net(f'small_{way}_lowest'):.0f}; "
            f"{seconds / found['small_cp']:.1f} times as long as cp -r"
        )
        cases.append(Case(f"small files {way}", SMALL_FILES / seconds, "at least", MIN_FILES_PER_S, "/s", note))
    plain = found["large_cp"] + found["large_sync"]
    for way, beside, what in (
        ("up", plain + 2 * found["large_sha"], "cp, sync and twice sha256sum"),
        ("down", plain, "cp and sync"),
    ):
        seconds = net(f"large_{way}")
        mib = LARGE_BYTES / 2**20
        note = (
            f"{mib / seconds:.0f} MiB/s, {mib / net(f'large_{way}_highest'):.0f} to {mib / net(f'large_{way}_lowest'):.0f}; "
            f"beside {mib / beside:.0f}"
        )
        cases.append(Case(f"a large file {way}, times {what}", beside / seconds, "at least", MIN_SHARE, "", note))
    return judge(cases)


async def main() -> dict[str, float]:
    """Measure on separate servers."""
    with tempfile.TemporaryDirectory() as temporary:
        return await measure(Path(temporary)) | {"load_average": os.getloadavg()[0]}


if __name__ == "__main__":
    results = uvloop.run(main())
    target = Path("build") / "bench-files.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(0 if show(results) else 1)
