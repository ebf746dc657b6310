"""The pages for users do what they say: each example of docs/sdk.md and docs/guide.md, in its order, against a real stack."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str, language: str) -> list[str]:
    """Return the examples of a page that are written in this language."""
    return [text for kind, text in _BLOCK.findall((ROOT / "docs" / page).read_text()) if kind == language]


def place(tmp_path: Path) -> Path:
    """Return a folder in which the examples run, with the repository's examples/."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


async def test_the_examples_of_the_sdk_run(stack: Stack, tmp_path: Path) -> None:
    examples = blocks("sdk.md", "python")
    assert len(examples) > 8
    script = tmp_path / "examples_of_the_page.py"
    script.write_text("\n".join(examples))
    ran = await _runs([sys.executable, "-W", "error", script], place(tmp_path), stack)
    assert ran.stderr == ""
    for said in ("sent, 0 were there", "healthy http", "404 not-found", "'service.rolled-back', 'they were too short'"):
        assert said in ran.stdout, ran.stdout
    assert (await stack.api.http.get("/v1/services/greeter")).status_code == 404


async def test_the_commands_of_the_guide_run(stack: Stack, tmp_path: Path) -> None:
    commands = blocks("guide.md", "sh")
    assert len(commands) > 10
    script = "\n".join(["set -euo pipefail", *commands])
    ran = await _runs(["bash", "-c", script], place(tmp_path), stack)
    # what each chapter shows
    for said in (
        "default=owner",
        "model-definition.yaml is right",
        "would be created, with this as revision 1",
        "assistant is healthy, deployed: 2 of 2 replicas healthy",
        '"finish_reason"',
        "shorter answers",
        "service.rolled-back",
        "assistant is healthy, deployed: 3 of 3 replicas healthy",
        "headrace_in_flight > 4",
        "requests per second 20",
        "serving chat-simulated",
    ):
        assert said in ran.stdout, f"{said!r} is not in\n{ran.stdout}\n{ran.stderr}"
    assert (await stack.api.http.get("/v1/services/assistant")).status_code == 404
    assert (await stack.api.http.get("/v1/folders/assistant")).status_code == 404


async def _runs(command: Sequence[str | Path], folder: Path, stack: Stack) -> subprocess.CompletedProcess[str]:
    """Run a program of the page's examples in this folder, at this stack; it has to end well."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "HEADRACE_"))}
    path = f"{Path(sys.executable).parent}:{own['PATH']}"
    environ = own | {
        "HOME": str(folder),
        "PATH": path,
        "HEADRACE_URL": stack.api.url,
        "HEADRACE_API_KEY": stack.api.key,
    }

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=170, check=False
        )

    ran = await asyncio.to_thread(run)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran
