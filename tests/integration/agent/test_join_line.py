"""The line of `join-token` on a new machine: it pins the authority, installs from the manager's wheels, and joins."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import pytest

from headrace.common.db.pool import Pool
from tests.support.worlds.joining import Joinable, joinable, program, run_line

PIP = """#!/bin/sh
# Stands for pip, which has no wheels to install in a test: what it is told is kept, and this checkout's program is put in place.
echo "$@" > "$HEADRACE_PREFIX/pip.txt"
printf '#!/bin/sh\\nexec %s -m headrace.agent "$@"\\n' "$CHECKOUT_PYTHON" > "${0%/pip}/headrace-agent"
chmod +x "${0%/pip}/headrace-agent"
"""


@pytest.fixture
async def there(pool: Pool, tmp_path: Path) -> AsyncIterator[Joinable]:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "headrace-1-py3-none-any.whl").write_bytes(b"wheel")
    (wheels / "secret.txt").write_bytes(b"secret")
    async with joinable(pool, tmp_path, wheels_dir=wheels) as world:
        yield world


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Folder of a machine whose environment has a pip of the test's."""
    root = tmp_path / "machine"
    program(root / "opt" / version("headrace") / "bin/pip", PIP)
    return root


async def run(line: str, machine: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell of the machine."""
    return await run_line(line, machine / "bin", HEADRACE_PREFIX=str(machine / "opt"), CHECKOUT_PYTHON=sys.executable)


def options(machine: Path) -> str:
    folders = f"--dir {machine / 'etc'} --data-dir {machine / 'data'}"
    return f" --name gpu-7 --runtime process --admin-port 0 --no-service {folders}"


async def test_the_line_installs_and_joins_and_its_token_is_in_no_program_s_arguments(
    there: Joinable, machine: Path
) -> None:
    made = await there.admin.call("POST", "/v1/join-tokens", {"kind": "agent"})
    assert "\n" not in made["command"]
    ran = await run(made["command"] + options(machine), machine)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "gpu-7 has joined" in ran.stdout
    told = (machine / "opt/pip.txt").read_text()
    assert f"--find-links {there.url}/v1/join/wheels/ headrace==" in told
    assert f"--no-index --cert={machine / 'opt/ca.crt'}" in told
    assert (machine / "opt/ca.crt").read_text() == (there.folder / "tls/ca.crt").read_text()
    assert made["token"] not in told
    again = await run(made["command"] + options(machine), machine)
    assert "nothing to join" in again.stdout
    own = machine / "opt" / version("headrace")
    assert f"installing Headrace {version('headrace')} in {own}, from" in ran.stdout, "beside what another version runs"


async def test_another_authority_is_said_and_nothing_is_run(there: Joinable, machine: Path) -> None:
    made = await there.admin.call("POST", "/v1/join-tokens", {"kind": "agent"})
    ran = await run(made["command"].replace(made["ca_sha256"], "0" * 64), machine)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"{there.url} has another certificate authority than this line was made for")
    assert ran.stderr.count("\n") == 1
    assert not (machine / "opt/pip.txt").exists()


async def test_a_manager_that_is_away_is_said_and_nothing_is_run(there: Joinable, machine: Path) -> None:
    made = await there.admin.call("POST", "/v1/join-tokens", {"kind": "agent"})
    ran = await run(made["command"].replace(there.url, "https://127.0.0.1:1"), machine)
    assert ran.returncode == 1
    assert "cannot be reached" in ran.stderr
    assert not (machine / "opt/pip.txt").exists()


async def test_wheels_are_served_and_nothing_else_of_their_folder(there: Joinable) -> None:
    http = there.admin.http
    listing = await http.get("/v1/join/wheels/", headers={"Authorization": ""})
    assert 'href="headrace-1-py3-none-any.whl"' in listing.text
    assert "secret" not in listing.text
    assert (await http.get("/v1/join/wheels/headrace-1-py3-none-any.whl")).content == b"wheel"
    for name in ("secret.txt", "..%2Fwheels%2Fsecret.txt", "..%2F..%2Fetc%2Fadmin.key", "none-1-py3-none-any.whl"):
        assert (await http.get(f"/v1/join/wheels/{name}")).status_code == 404
