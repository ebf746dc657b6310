"""docs/cli.md and the shells' completion come from the command tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from headrace.cli.app import build
from headrace.cli.docs import FILE, commands, main, text
from tests.support.worlds.cli import Cli


def test_the_reference_is_current() -> None:
    assert (Path(__file__).parents[3] / FILE).read_text() == text(), "run: python -m headrace.cli.docs > docs/cli.md"


def test_the_reference_is_printed_or_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    assert capsys.readouterr().out == text()
    main([str(tmp_path / "cli.md")])
    assert (tmp_path / "cli.md").read_text() == text()


def test_its_help_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["--help"], ["--nonsense"], ["a", "b"]):
        with pytest.raises(SystemExit):
            main(words)
    assert list(tmp_path.iterdir()) == []


def test_every_argument_and_option_has_a_help_text_and_a_name_of_its_value() -> None:
    tree = list(commands(typer.main.get_command(build()), "headrace"))
    assert len(tree) > 40
    parameters = [(name, parameter) for name, command in tree for parameter in command.params]
    assert [f"{name} {parameter.name}" for name, parameter in parameters if not parameter.help] == []
    unnamed = [f"{name} {p.name}" for name, p in parameters if not p.metavar and (p.required or not _is_flag(p))]
    assert unnamed == []


def test_no_help_text_shows_a_type_of_the_program(bare: Cli) -> None:
    for name in [
        line.removeprefix("## ").split()[1:] for line in text().splitlines() if line.startswith("## headrace ")
    ]:
        out = bare(*name, "--help").out
        assert not re.search(r"<(?!\(|=)[A-Za-z\[][^>]*>|\[\[|\.\.\.\.", out), out


def _is_flag(parameter: Any) -> bool:
    return parameter.param_type_name == "option" and bool(parameter.is_flag)


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
