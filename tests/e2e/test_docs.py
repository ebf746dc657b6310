"""The pages for users do what they say: each example of docs/sdk.md, in its order, against a real stack."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str, language: str) -> list[str]:
    """Return the examples of a page that are written in this language."""
    return [text for kind, text in _BLOCK.findall((ROOT / "docs" / page).read_text()) if kind == language]


async def test_the_examples_of_the_sdk_run(stack: Stack, tmp_path: Path) -> None:
    examples = blocks("sdk.md", "python")
    assert len(examples) > 8
    script = tmp_path / "examples_of_the_page.py"
    script.write_text("\n".join(examples))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    server = {"HEADRACE_URL": stack.api.url, "HEADRACE_API_KEY": stack.api.key}
    ran = await asyncio.to_thread(_python, script, tmp_path, server)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    for said in ("sent, 0 were there", "healthy http", "404 not-found", "'service.rolled-back', 'they were too short'"):
        assert said in ran.stdout, ran.stdout
    assert (await stack.api.http.get("/v1/services/greeter")).status_code == 404


def _python(script: Path, folder: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", script],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
