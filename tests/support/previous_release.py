"""The previous release, made from the commit that deploy/previous-release names, in an environment of its own.

Built once for each commit, into build/; as a program it prints the environment's Python: python -m tests.support.previous_release
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BIN: Final = Path(sys.executable).parent
NAMED_IN: Final = ROOT / "deploy/previous-release"
_CACHE: Final = ROOT / "build/previous-release"
_COMMIT: Final = re.compile(r"^[0-9a-f]{40}$", re.MULTILINE)
_PINNED: Final = re.compile(r"^([a-z0-9._-]+==\S+)(?: ;.*)? \\$", re.MULTILINE)


def commit() -> str:
    """Return the commit of the previous release."""
    found = _COMMIT.findall(NAMED_IN.read_text())
    assert len(found) == 1, f"{NAMED_IN}: found {len(found)} commits; allowed: one, with all 40 digits"
    return str(found[0])


def python() -> Path:
    """Return the Python of an environment with the previous release, as pip installs its wheel; made if there is none."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    folder = _CACHE / f"{commit()[:12]}-py{sys.version_info.major}.{sys.version_info.minor}"
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests of other workers wait for the one that builds
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _build(folder)
            (folder / "complete").touch()
    return folder / "venv/bin/python"


def _build(folder: Path) -> None:
    sources = folder / "sources"
    _unpack(sources)
    environ = {name: value for name, value in os.environ.items() if name not in {"HEADRACE_COMPILE", "PYTHONPATH"}}
    environ["HEADRACE_CONSOLE"] = "none"  # which is no part of what is tried with it, and would need Node
    _runs(BIN / "python", "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=sources, environ=environ)
    (wheel,) = folder.glob("headrace-*.whl")
    pinned = _PINNED.findall((sources / "requirements.lock").read_text())
    assert pinned, "no versions were read from its requirements.lock"
    (folder / "constraints").write_text("\n".join(pinned))
    _runs(BIN / "uv", "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder, environ=environ)
    packages = ("pip", "install", "--quiet", "--compile-bytecode", "--constraints", folder / "constraints", wheel)
    _runs(BIN / "uv", *packages, "--python", folder / "venv/bin/python", cwd=folder, environ=environ)
    shutil.rmtree(sources)
    found = "import headrace.manager, sys; sys.exit(not headrace.manager.__file__.startswith(sys.prefix))"
    _runs(folder / "venv/bin/python", "-c", found, cwd=folder, environ=environ)


def _unpack(to: Path) -> None:
    archived = subprocess.run(["git", "-C", ROOT, "archive", commit()], capture_output=True, check=False, timeout=120)
    assert archived.returncode == 0, (
        f"this clone lacks commit {commit()}, which {NAMED_IN.relative_to(ROOT)} names: {archived.stderr.decode().strip()}; "
        "fetch the whole history (git fetch --unshallow)"
    )
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as archive:
        archive.extractall(to, filter="data")


def _runs(*command: object, cwd: Path, environ: dict[str, str]) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


if __name__ == "__main__":
    sys.stdout.write(f"{python()}\n")
