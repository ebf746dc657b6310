"""What the line by which a machine joins ends with: how its service is started."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import pytest

from headrace.common.joining import units
from headrace.common.joining.command import Joiner, join

FAILS = "/etc/x lacks bus/b.creds"


def _no_options(parser: ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path)


def _joiner(unit_words: Sequence[str] | None = ("--service", "agent")) -> Joiner:
    words = None if unit_words is None else lambda name: (*unit_words, name)
    return Joiner(
        "agent", "headrace-agent", "agent", _no_options, lambda _given: (), lambda _given, _answer: {}, unit_words=words
    )


class Systemd:
    """Stands for `headrace systemd install`: keeps the commands, and fails if told to."""

    def __init__(self) -> None:
        self.unsupported: str | None = None
        self.fails = ""
        self.commands: list[Sequence[str]] = []

    def install(self, command: Sequence[str]) -> None:
        self.commands.append(command)
        if self.fails:
            raise units.UnitError(self.fails)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    there = Systemd()
    monkeypatch.setattr(units, "unsupported", lambda: there.unsupported)
    monkeypatch.setattr(units, "install", there.install)
    monkeypatch.setattr(units, "UNITS", tmp_path)
    for name in ("bus/b.creds", "settings/b.toml"):  # of a join before
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    return there


def joined(folder: Path, *more: str, joiner: Joiner | None = None) -> int:
    words = ["--url", "https://ml.example.com", "--dir", str(folder), "--name", "b", *more]
    return join(joiner or _joiner(), words)


def test_it_has_systemd_run_the_service(tmp_path: Path, systemd: Systemd, capsys: pytest.CaptureFixture[str]) -> None:
    assert joined(tmp_path) == 0
    assert [command[3:] for command in systemd.commands] == [
        ["systemd", "install", str(tmp_path), "--service", "agent", "b", "--now"]
    ]
    assert capsys.readouterr().out.endswith(
        "b runs as a service, also after a reboot: systemctl status headrace-agent\n"
    )


@pytest.mark.parametrize("how", ["--no-service", "no systemd", "no unit"])
def test_without_a_unit_it_says_how_to_start(
    tmp_path: Path, systemd: Systemd, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    systemd.unsupported = "systemd does not run on this machine" if how == "no systemd" else None
    more = ("--no-service",) if how == "--no-service" else ()
    assert joined(tmp_path, *more, joiner=_joiner(None) if how == "no unit" else None) == 0
    out = capsys.readouterr().out
    assert f"start it: HEADRACE_AGENT_CONFIG={tmp_path}/settings/b.toml " in out
    assert out.endswith(" -m headrace.agent  # systemd does not run on this machine\n") is (how == "no systemd")
    assert systemd.commands == []


def test_a_unit_that_fails_is_one_line_with_the_command_to_repeat(
    tmp_path: Path, systemd: Systemd, capsys: pytest.CaptureFixture[str]
) -> None:
    systemd.fails = FAILS
    assert joined(tmp_path) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"headrace-agent join: b has joined, and its service does not run yet: {FAILS}. Mend it and")
    assert said.endswith(f" -m headrace.cli systemd install {tmp_path} --service agent b --now\n")


def test_a_unit_of_another_agent_is_left_alone(
    tmp_path: Path, systemd: Systemd, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "headrace-agent.service").write_text(
        "LoadCredential=agent-1.toml:/etc/headrace/settings/agent-1.toml\n"
    )
    assert joined(tmp_path) == 1
    assert "found headrace-agent.service of other settings; --no-service, or" in capsys.readouterr().err
    assert systemd.commands == []
