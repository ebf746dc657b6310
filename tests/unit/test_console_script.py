"""scripts/console.py: what it builds and when, with programs in the place of Node and npm."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.console import ROOT, Console, ConsoleError, build, check, is_new_enough, main

NODE = """#!/bin/sh
case "$1" in
    --version) echo v24.1.0 ;;
    */vite.js) echo "vite $2"; [ ! -e broken ] || { echo "it is broken" >&2; exit 3; }; mkdir -p "$4"; cat src/main.tsx >"$4/index.html" ;;
    */compress.mjs) touch "$2/index.html.compressed" ;;
esac
"""
NPM = """#!/bin/sh
echo "npm $*" >>calls
[ "$1" != ci ] || mkdir -p node_modules/vite/bin
[ "$1" != run ] || [ ! -e "fails-$3" ]
"""


@pytest.fixture
def console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Console:
    for name, text in (("node", NODE), ("npm", NPM)):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    (tmp_path / "console" / "src").mkdir(parents=True)
    (tmp_path / "console" / "package.json").write_text("{}")
    (tmp_path / "console" / "src" / "main.tsx").write_text("first")
    return Console(tmp_path / "console", tmp_path / "build" / "console")


def calls(console: Console) -> list[str]:
    return (console.sources / "calls").read_text().splitlines()


def test_it_is_built_once_from_the_same_sources_and_its_packages_are_installed_once(
    console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    (console.sources / "calls").touch()
    assert build(console)
    assert (console.built / "index.html").read_text() == "first"
    assert (console.built / "index.html.compressed").exists()
    (console.sources / "calls").rename(console.built.parent / "calls")  # it is no source
    (console.sources / "calls").touch()
    said = capsys.readouterr().out
    assert "==> installing the packages that its build needs" in said
    assert "==> building the web console" in said

    (console.sources / "node_modules" / "more.js").touch()
    (console.sources / "README.md").touch()
    assert not build(console)
    assert capsys.readouterr().out == ""

    (console.sources / "src" / "main.tsx").write_text("second")
    assert build(console)
    assert (console.built / "index.html").read_text() == "second"
    assert calls(console) == []
    assert sorted(path.name for path in console.built.parent.iterdir()) == [
        *("calls", "console", "console.lock", "console.log", "console.made-from")
    ]


def test_a_build_that_fails_says_why_and_leaves_the_one_before(console: Console) -> None:
    build(console)
    (console.sources / "broken").touch()
    with pytest.raises(
        ConsoleError, match=r"vite.js build ended with 3; the end of .*console.log:\n(.*\n)*it is broken"
    ):
        build(console)
    assert (console.built / "index.html").read_text() == "first"
    assert not console.is_current()
    (console.sources / "broken").unlink()
    assert build(console)


def test_checks_install_all_packages_and_stop_at_what_fails(console: Console) -> None:
    check(console, only_installed=True)
    assert not (console.sources / "calls").exists(), "Python alone is worked on here"
    check(console, only_installed=False)
    assert [call.split(" --")[0] for call in calls(console)] == ["npm ci", "npm run", "npm run"]
    assert [call.split()[-1] for call in calls(console)[1:]] == ["check", "test"]
    assert "--omit=dev" not in calls(console)[0]
    (console.sources / "fails-test").touch()
    with pytest.raises(ConsoleError, match="`npm run test` failed"):
        check(console, only_installed=False)
    check(console, only_installed=True)
    assert calls(console)[-1] == "npm run --silent check"


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ((18, 20), False),
        ((20, 18), False),
        ((20, 19), True),
        ((21, 7), False),
        ((22, 11), False),
        ((22, 12), True),
        ((24, 0), True),
    ],
)
def test_which_node_is_new_enough(version: tuple[int, int], *, enough: bool) -> None:
    assert is_new_enough(version) is enough


def test_a_manager_that_is_no_url_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MANAGER", "here")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    assert main(["dev"]) == 1
    for number, handler in before.items():
        signal.signal(number, handler)
    assert capsys.readouterr().err == (
        "error: MANAGER: found here; allowed: the URL of a running manager, http://127.0.0.1:8080\n"
    )


def test_it_runs_by_python_alone() -> None:
    ran = subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "scripts" / "console.py", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
