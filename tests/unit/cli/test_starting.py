"""What a start of the command line loads: help needs neither the HTTP client nor the contract models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.cli.app import ENTRIES, LazyGroup

HEAVY = ("pydantic", "httpx", "rich", "yaml", "asyncio")
LOADED = """
import sys
from headrace.cli.__main__ import main
main(sys.argv[1:])
print("loaded", *(name for name, module in sys.modules.items() if module is not None))
"""


def loaded(home: Path, *words: str) -> set[str]:
    """Return the modules that a run of `headrace WORDS` has imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "XDG_"))}
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        env={**kept, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(ran.stdout.splitlines()[-1].split()[1:])


def test_help_loads_nothing_that_only_calls_need(tmp_path: Path) -> None:
    assert loaded(tmp_path, "--help").isdisjoint(HEAVY)


def test_a_command_loads_no_terminal_painter_and_no_file_reader(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "service", "ls")
    assert "headrace.cli.commands.service" in modules
    assert modules.isdisjoint({"rich", "yaml", "httpx._main", "headrace.cli.commands.folder"})


@pytest.mark.parametrize("name", ENTRIES)
def test_the_list_says_of_each_word_what_the_word_says_of_itself(name: str) -> None:
    loaded_help = LazyGroup(name="headrace").get_command(None, name).help
    assert ENTRIES[name].help == " ".join(loaded_help.split("\n\n")[0].split())
