"""A simulated engine as a real process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import ModelServer, model_server

Start = Callable[..., ModelServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start engines: `start("--load-s", "1", env={...}, healthy=False)`; all are gone afterwards."""
    with ExitStack() as stack:

        def one(*flags: str, **options: Any) -> ModelServer:
            log = tmp_path / f"engine-{len(list(tmp_path.iterdir()))}.log"
            command = [
                "-m",
                "headrace.engine",
                "--host",
                "127.0.0.1",
                "--port",
                "{port}",
                "--model-name",
                "m",
                "lora",
                *flags,
            ]
            return stack.enter_context(model_server(command, log, **options))

        yield one


@pytest.fixture
def engine(start: Start) -> ModelServer:
    """A quick engine."""
    return start("--time-to-first-token-s", "0", "--time-per-token-s", "0")
