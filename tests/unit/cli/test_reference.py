"""docs/cli.md and the shells' completion come from the command tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.cli.docs import FILE, text
from tests.unit.cli.conftest import Cli


def test_the_reference_is_current() -> None:
    assert (Path(__file__).parents[3] / FILE).read_text() == text(), "run: python -m headrace.cli.docs"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_printed(bare: Cli, shell: str) -> None:
    ran = bare("completion", shell)
    assert ran.code == 0
    assert "_HEADRACE_COMPLETE" in ran.out


def test_every_command_has_help(bare: Cli) -> None:
    names = [line.removeprefix("## ").split()[1:] for line in text().splitlines() if line.startswith("## headrace ")]
    assert len(names) > 40
    for name in names:
        assert bare(*name, "--help").code == 0


def test_every_command_knows_json(bare: Cli) -> None:
    names = [line.removeprefix("## ").split()[1:] for line in text().splitlines() if line.startswith("## headrace ")]
    without = [name for name in names if "--json" not in bare(*name, "--help").out]
    assert without == []
