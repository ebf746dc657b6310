"""The embedded PostgreSQL as root in a container with Docker's default limits, and as a uid that has no name.

User namespaces are forbidden there, and everything (sources, packages, data) lies in a folder of root's with mode 0700:
a clone below /root in a development container.
"""

from __future__ import annotations

import subprocess
import sysconfig
from collections.abc import Iterator

import pytest

from tests.support.images import build_image
from tests.support.worlds.processes import ROOT

pytestmark = pytest.mark.docker

SCRIPT = """
import asyncio, os, pwd
from pathlib import Path

import asyncpg
from headrace.embedded.stack import EmbeddedServers

os.umask(0o077)
private = Path("/private") if os.geteuid() == 0 else Path("/tmp")
if os.geteuid() == 0:
    private.chmod(0o700)

async def main():
    for _ in range(2):
        async with EmbeddedServers(private / "data", only={"postgres"}) as servers:
            con = await asyncpg.connect(servers.database_url)
            await con.execute("CREATE TABLE IF NOT EXISTS t (x int); INSERT INTO t VALUES (1)")
            print("rows", await con.fetchval("SELECT count(*) FROM t"))
            await con.close()
    print("owner", (private / "data/postgres").stat().st_uid)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    tag = build_image("hr-embedded-python:test", ("structlog", "typing_extensions"))
    yield tag
    subprocess.run(["docker", "rmi", "-f", tag], check=False, capture_output=True, timeout=60)


def run(image: str, *options: str) -> list[str]:
    site = sysconfig.get_path("purelib")
    command = [
        *("docker", "run", "--rm", "--network=none", "-v", f"{site}:/private/site:ro"),
        *("-v", f"{ROOT}/libs/embedded/headrace:/private/embedded/headrace:ro"),
        *("-v", f"{ROOT}/libs/common/headrace:/private/common/headrace:ro"),
        *("-e", "PYTHONPATH=/private/embedded:/private/common:/private/site"),
        *(*options, image, "python3", "-c", SCRIPT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("rows", "owner"))]


def test_root_without_user_namespaces(image: str) -> None:
    *rows, owner = run(image)
    assert rows == ["rows 1", "rows 2"]
    assert owner == "owner 1000"  # the image's only other account


def test_a_uid_without_a_name(image: str) -> None:
    """Docker's seccomp rules forbid user namespaces; a host or podman allows them."""
    assert run(image, "--user=4321:4321", "--security-opt=seccomp=unconfined") == ["rows 1", "rows 2", "owner 4321"]
