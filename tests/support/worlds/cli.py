"""Command line in this process, with an empty home and a fake manager."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headrace.cli.__main__ import main
from tests.support.fakes.manager_api import KEY, FakeManagerApi, fake_manager_api


@dataclass(frozen=True)
class CommandResult:
    """Result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., CommandResult]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create an empty home, and remove Headrace's variables from the environment."""
    for name in (
        "HEADRACE_URL",
        "HEADRACE_API_KEY",
        "HEADRACE_DATA",
        "HEADRACE_PROJECT",
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "XDG_DATA_HOME",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def bare(home: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Return a runner of commands without a login."""

    def run(*words: object) -> CommandResult:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return CommandResult(code, out, err)

    return run


@pytest.fixture
def there() -> Iterator[FakeManagerApi]:
    """Run a fake manager."""
    with fake_manager_api() as running:
        yield running


@pytest.fixture
def cli(bare: Cli, there: FakeManagerApi, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a runner of commands with the fake's URL and key in the environment."""
    monkeypatch.setenv("HEADRACE_URL", there.url)
    monkeypatch.setenv("HEADRACE_API_KEY", KEY)
    return bare
