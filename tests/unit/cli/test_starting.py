"""What a start of the command line loads: help needs neither the HTTP client nor the contract models."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from headrace.cli.app import ENTRIES, LazyGroup
from headrace.cli.command import Commands
from tests.support.fakes.manager_api import KEY, FakeManagerApi, service_view

HEAVY = ("pydantic", "http.client", "ssl", "rich", "yaml", "asyncio")
NEVER = {
    "rich",
    "yaml",
    "asyncio",
    "httpx",
    "httpcore",
    "h11",
    "importlib.metadata",
    "urllib.request",
    "http.cookiejar",
}
"""What no call to the API needs: painters, readers of files, a second HTTP library, and what looks through all installed
packages."""
COMMAND_MODULES: Final = 345
HELP_MODULES: Final = 185
"""Bounds of the modules that a list of services and a help text load, the interpreter's own included."""
LOADED = """
import sys
from headrace.cli.__main__ import main
main(sys.argv[1:])
print("loaded", *(name for name, module in sys.modules.items() if module is not None))
"""


def loaded(home: Path, *words: str, program: str = LOADED, **environ: str) -> set[str]:
    """Return the modules that a run of the program, or of `headrace WORDS`, has imported."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "HEADRACE_", "XDG_"))
    }
    ran = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**kept, "HOME": str(home), **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(ran.stdout.splitlines()[-1].split()[1:])


def test_help_loads_nothing_that_only_calls_need(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "--help")
    assert modules.isdisjoint(HEAVY)
    assert len(modules) < HELP_MODULES


def test_a_command_loads_no_terminal_painter_and_no_file_reader(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "service", "ls")
    assert "headrace.cli.commands.service.listing" in modules
    assert modules.isdisjoint({*NEVER, "headrace.cli.commands.folder"})


AT_THE_END = """
import atexit, gc, sys
before = gc.get_freeze_count()
atexit.register(lambda: print("loaded", "frozen" if gc.get_freeze_count() > before + 10_000 else "searched"))
from headrace.cli.__main__ import main
main(sys.argv[1:])
"""


def test_a_command_that_is_answered_loads_few_modules(tmp_path: Path, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services", {"items": [service_view()], "next": None})
    modules = loaded(tmp_path, "--url", there.url, "service", "ls", "--json", HEADRACE_API_KEY=KEY)
    assert modules.isdisjoint(NEVER)
    assert len(modules) < COMMAND_MODULES


def test_what_was_loaded_is_not_searched_for_garbage_at_the_end(tmp_path: Path) -> None:
    assert loaded(tmp_path, "--help", program=AT_THE_END) == {"frozen"}


NOUNS = ("agents", "clients", "folders", "projects", "rules", "services", "tokens", "users", "validations")
CALLED = """
import sys
from headrace.cli.__main__ import main
from headrace.cli.app import LazyGroup
from headrace.sdk import Client
word, noun = sys.argv[1:]
LazyGroup(name="headrace").get_command(None, word).get_command(None, "ls")
getattr(Client("http://127.0.0.1:9", "key"), noun)
print("loaded", *(name for name, module in sys.modules.items() if module is not None))
"""


@pytest.mark.parametrize(
    ("word", "noun"), [("service", "services"), ("project", "projects"), ("agent", "agents"), ("token", "tokens")]
)
def test_a_command_loads_the_calls_and_commands_of_its_own_noun_only(tmp_path: Path, word: str, noun: str) -> None:
    modules = loaded(tmp_path, word, noun, program=CALLED)
    assert f"headrace.sdk.{noun}" in modules
    assert modules.isdisjoint(f"headrace.sdk.{other}" for other in NOUNS if other != noun)
    others = {"service.core", "service.changes", "service.logs", "stack_status", "rule", "folder"}
    assert modules.isdisjoint(f"headrace.cli.commands.{other}" for other in others)
    assert modules.isdisjoint(NEVER)


def test_a_list_of_services_loads_no_models_of_what_is_not_in_it(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "service", "services", program=CALLED)
    elsewhere = ("messages.reports", "messages.plans", "http.receipts", "http.history", "http.decisions", "http.agents")
    assert "headrace.common.contracts.http.services" in modules
    assert modules.isdisjoint(f"headrace.common.contracts.{other}" for other in elsewhere)
    assert modules.isdisjoint({"headrace.sdk.logs", "headrace.cli.commands.service.spec_flags"})


def test_the_commands_of_a_group_are_those_that_its_modules_register() -> None:
    for entry in ENTRIES.values():
        for module, names in entry.elsewhere.items():
            holder = Commands(help="")
            holder.add(f"headrace.cli.commands.{module}")
            assert list(holder.waiting) == names.split(), module


@pytest.mark.parametrize("name", ENTRIES)
def test_the_list_says_of_each_word_what_the_word_says_of_itself(name: str) -> None:
    loaded_help = LazyGroup(name="headrace").get_command(None, name).help
    assert ENTRIES[name].help == " ".join(loaded_help.split("\n\n")[0].split())
