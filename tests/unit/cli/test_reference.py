"""docs/cli.md and the shells' completion come from the command tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.cli.docs import FILE, text
from tests.support.worlds.cli import Cli


def test_the_reference_is_current() -> None:
    assert (Path(__file__).parents[3] / FILE).read_text() == text(), "run: python -m headrace.cli.docs"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_printed(bare: Cli, shell: str) -> None:
    ran = bare("completion", shell)
    assert ran.code == 0
    assert "_HEADRACE_COMPLETE" in ran.out


def test_every_command_has_help_and_knows_json(bare: Cli) -> None:
    names = [line.removeprefix("## ").split()[1:] for line in text().splitlines() if line.startswith("## headrace ")]
    assert len(names) > 40
    helps = {" ".join(name): bare(*name, "--help") for name in names}
    assert [name for name, ran in helps.items() if ran.code != 0 or "--json" not in ran.out] == []
