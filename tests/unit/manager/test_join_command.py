"""The line of a join token as a shell runs it, with programs of the test's for curl and sudo."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from headrace.manager.domain.join_command import join_command

URL: Final = "https://headrace.example:8443"
TOKEN: Final = "hrj_secret"
AUTHORITY: Final = b"certificates\n"
CURL: Final = """#!/bin/sh
echo "$@" >> "$PROGRAMS/curl.txt"
case "$*" in
  *ca.crt*) printf 'certificates\\n' > "$4" ;;
  *) echo 'echo "joins as $HEADRACE_JOIN_KIND with $HEADRACE_JOIN_TOKEN: $*"' ;;
esac
"""


def run(line: str, programs: Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run a line, and return with it what curl was called with."""
    for name, content in {"curl": CURL, "sudo": '#!/bin/sh\nexec "$@"\n'}.items():
        (programs / name).write_text(content)
        (programs / name).chmod(0o755)
    known = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PROGRAMS": str(programs)}
    ran = subprocess.run(["sh", "-c", line], env=known, capture_output=True, text=True, timeout=60, check=False)
    return ran, (programs / "curl.txt").read_text().splitlines()


@pytest.mark.parametrize(("form", "script"), [("wheels", "join.sh"), ("docker", "docker.sh")])
def test_with_a_certificate_that_all_machines_trust_everything_is_fetched_verified(
    form: str, script: str, tmp_path: Path
) -> None:
    line = join_command("agent", "docker" if form == "docker" else "wheels", url=URL, token=TOKEN, ca_sha256=None)
    ran, calls = run(f"{line} --name gpu-7", tmp_path)
    assert ran.stdout == f"joins as agent with {TOKEN}: --name gpu-7\n", ran.stderr
    assert calls == [f"-fsS {URL}/v1/join/{script}"]


def test_an_own_authority_is_compared_before_anything_is_run(tmp_path: Path) -> None:
    known = hashlib.sha256(AUTHORITY).hexdigest()
    ran, calls = run(join_command("proxy", "wheels", url=URL, token=TOKEN, ca_sha256=known), tmp_path)
    assert ran.stdout == f"joins as proxy with {TOKEN}: \n", ran.stderr
    assert calls[0].startswith(f"-fsSk {URL}/v1/join/ca.crt -o ")
    assert calls[1].startswith("-fsS --cacert ")
    assert not any(TOKEN in call for call in calls)


def test_another_authority_ends_the_line_with_nothing_done(tmp_path: Path) -> None:
    ran, calls = run(join_command("agent", "wheels", url=URL, token=TOKEN, ca_sha256="0" * 64), tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "another certificate authority" in ran.stderr
    assert len(calls) == 1
