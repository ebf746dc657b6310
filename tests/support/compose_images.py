"""Images for the end-to-end test of the compose project, built on the spot: `python -m tests.support.compose_images`.

There is no registry: Debian packages (mmdebstrap) stand in for the public images of Python, PostgreSQL, Valkey, NATS, HAProxy and Prometheus,
and Headrace's own are built on them by `make images`' script. Base images stay with the engine for the next run.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from headrace.embedded.binaries import nats_server

ROOT = Path(__file__).parents[2]
PREFIX: Final = "headrace-test-"
TARGETS: Final = ("manager", "agent", "appproxy", "autoscaler")
COMPILE: Final = os.environ.get("HEADRACE_TEST_COMPILE", "")
"""As HEADRACE_COMPILE of scripts/images; by default nothing is compiled, which takes minutes. CI says 1, and builds beforehand."""
_PYTHON = ("python3", "dash", "bash", "libc-bin", "base-files", "coreutils", "sed", "grep", "ca-certificates")
_RECIPES: Final = {
    "python": (*_PYTHON, "iptables", "nftables"),
    "build": (*_PYTHON, "python3-venv", "python3-dev", "gcc", "libc6-dev"),
    "servers": (
        *("dash", "bash", "libc-bin", "base-files", "coreutils", "sed", "grep", "busybox"),
        *("postgresql-15", "redis-server", "redis-tools", "haproxy", "prometheus"),
    ),
}
"""Stand-ins for python:slim, for python with a compiler, and for the stores' images."""
_HOOKS: Final = (
    "copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs",
    # What maintainers' scripts, which do not run, would make.
    (
        'for name in iptables ip6tables; do for end in "" -restore -save; do [ ! -e "$1/usr/sbin/$name-nft$end" ] || '
        'ln -sf "$name-nft$end" "$1/usr/sbin/$name$end"; done; done'
    ),
    'printf "root:x:0:0::/root:/bin/sh\\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\\n" >"$1/etc/passwd"',
    'printf "root:x:0:\\npostgres:x:999:\\n" >"$1/etc/group"',
)
_SERVERS: Final = """
ARG BASE
FROM ${BASE}
COPY nats-server postgres-entrypoint /usr/local/bin/
RUN ln -s /usr/bin/redis-server /usr/local/bin/valkey-server && ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli \\
 && ln -s /bin/busybox /usr/local/bin/wget
"""
_POSTGRES: Final = r"""#!/bin/bash
# What the public image does before its first start, as far as compose.yaml relies on it.
set -eu
export PATH=/usr/lib/postgresql/15/bin:$PATH
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p -m 0700 "$PGDATA"
    initdb -D "$PGDATA" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
    pg_ctl -D "$PGDATA" -w start -o "$(printf '%q ' "${@:2}") -c listen_addresses=''"
    psql -v ON_ERROR_STOP=1 -U postgres -d postgres -c "CREATE DATABASE \"$POSTGRES_DB\""
    for file in /docker-entrypoint-initdb.d/*.sql; do psql -v ON_ERROR_STOP=1 -U postgres -d "$POSTGRES_DB" -f "$file"; done
    pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
"""


def build(tag: str) -> str:
    """Build Headrace's images with this tag, and return the image that stands in for the stores'. Steps that are there are kept."""
    with _alone():
        _build_own(tag, TARGETS)
        return _servers()


def build_own(tag: str, *targets: str) -> None:
    """Build some of Headrace's images with this tag. Steps that are there are kept."""
    with _alone():
        _build_own(tag, targets)


@contextmanager
def _alone() -> Iterator[None]:
    """Wait for other processes that build, of whose steps this one will make use."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build/images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_own(tag: str, targets: Sequence[str]) -> None:
    environ = {
        **os.environ,
        "PYTHON_IMAGE": _base("python"),
        "BUILD_IMAGE": _base("build"),
        "HEADRACE_COMPILE": COMPILE,
        "IMAGE_PREFIX": PREFIX,
        "IMAGE_TAG": tag,
    }
    subprocess.run([ROOT / "scripts/images", *targets], env=environ, check=True, timeout=1500)


def remove(tag: str) -> None:
    """Remove Headrace's images with this tag; the engine keeps their steps (`--no-prune`), for the next build."""
    images = [f"{PREFIX}{target}:{tag}" for target in TARGETS]
    subprocess.run(
        ["docker", "image", "rm", "--no-prune", "-f", *images], check=False, capture_output=True, timeout=120
    )


def _base(name: str) -> str:
    packages = _RECIPES[name]
    digest = hashlib.sha256(repr((packages, _HOOKS)).encode()).hexdigest()[:12]
    tag = f"{PREFIX}{name}:{digest}"
    if (
        subprocess.run(["docker", "image", "inspect", tag], check=False, capture_output=True, timeout=60).returncode
        == 0
    ):
        return tag
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        command = ["mmdebstrap", "-q", "--variant=extract", f"--include={','.join(packages)}"]
        hooks = [f"--extract-hook={hook}" for hook in _HOOKS]
        excluded = ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*"]
        subprocess.run([*command, *hooks, *excluded, "bookworm", archive], check=True, timeout=600)
        subprocess.run(["docker", "import", archive, tag], check=True, capture_output=True, timeout=300)
    return tag


def _servers() -> str:
    tag = f"{PREFIX}servers:1"
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder)
        shutil.copy2(nats_server(), context / "nats-server")
        (context / "postgres-entrypoint").write_text(_POSTGRES)
        (context / "postgres-entrypoint").chmod(0o755)
        (context / "Dockerfile").write_text(_SERVERS)
        command = ["docker", "build", "-q", "-t", tag, "--build-arg", f"BASE={_base('servers')}", folder]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    return tag


if __name__ == "__main__":
    build("prepared")
    remove("prepared")
