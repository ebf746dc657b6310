"""What the line by which a machine joins ends with: how its service is started."""

from __future__ import annotations

import base64
import json
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import pytest

from headrace.common.bus.credentials import credentials_file
from headrace.common.joining import units
from headrace.common.joining.command import Joiner, join
from headrace.common.joining.options import left_as_they_are
from headrace.common.runtime.settings import ServiceSettings

FAILS = "/etc/x lacks bus/b.creds"


def _no_options(parser: ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path)


def _joiner(kind: str, module: str) -> Joiner:
    return Joiner(
        kind, f"headrace-{kind}", module, _no_options, lambda _given: (), lambda _given, _answer: {}, ServiceSettings
    )


JOINERS = {module: _joiner(kind, module) for kind, module in (("agent", "agent"), ("proxy", "appproxy"))}


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


def joined(folder: Path, *more: str, module: str = "agent") -> int:
    words = ["--url", "https://ml.example.com", "--dir", str(folder), "--name", "b", *more]
    return join(JOINERS[module], words)


@pytest.mark.parametrize("module", list(JOINERS))
def test_it_has_systemd_run_the_service(
    tmp_path: Path, systemd: Systemd, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    assert joined(tmp_path, module=module) == 0
    assert [command[3:] for command in systemd.commands] == [
        ["systemd", "install", str(tmp_path), "--service", module, f"--{module}", "b", "--now"]
    ]
    assert capsys.readouterr().out.endswith(
        f"b runs as a service, also after a reboot: systemctl status headrace-{module}\n"
    )


@pytest.mark.parametrize("how", ["--no-service", "no systemd"])
def test_without_a_unit_it_says_how_to_start(
    tmp_path: Path, systemd: Systemd, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    systemd.unsupported = "systemd does not run on this machine" if how == "no systemd" else None
    more = ("--no-service",) if how == "--no-service" else ()
    assert joined(tmp_path, *more) == 0
    out = capsys.readouterr().out
    assert f"start it: HEADRACE_AGENT_CONFIG={tmp_path}/settings/b.toml " in out
    assert out.endswith(" -m headrace.agent  # systemd does not run on this machine\n") is (how == "no systemd")
    assert systemd.commands == []


def test_a_name_by_which_the_machine_joined_as_something_else_is_refused(
    tmp_path: Path, systemd: Systemd, capsys: pytest.CaptureFixture[str]
) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"nats": {"pub": {"allow": ["report.agent.b"]}}}).encode()).decode()
    (tmp_path / "bus/b.creds").write_text(credentials_file(f"x.{claims}.x", "seed"))
    assert joined(tmp_path, module="appproxy") == 1
    said = capsys.readouterr().err
    assert said.startswith("headrace-proxy join: --name: found b, by which this machine joined as agent (")
    assert said.endswith("; allowed: another name for each kind\n")
    assert systemd.commands == []
    assert joined(tmp_path) == 0


def test_a_unit_that_fails_is_one_line_with_the_command_to_repeat(
    tmp_path: Path, systemd: Systemd, capsys: pytest.CaptureFixture[str]
) -> None:
    systemd.fails = FAILS
    assert joined(tmp_path) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"headrace-agent join: b has joined, and its service does not run yet: {FAILS}. Mend it and")
    assert said.endswith(f" -m headrace.cli systemd install {tmp_path} --service agent --agent b --now\n")


def test_a_unit_of_another_agent_is_left_alone(
    tmp_path: Path, systemd: Systemd, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "headrace-agent.service").write_text(
        "LoadCredential=agent-1.toml:/etc/headrace/settings/agent-1.toml\n"
    )
    assert joined(tmp_path) == 1
    assert "found headrace-agent.service of other settings; --no-service, or" in capsys.readouterr().err
    assert systemd.commands == []


@pytest.mark.parametrize("word", ["--nme", "--url"])
def test_a_wrong_option_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str) -> None:
    with pytest.raises(SystemExit) as ended:
        joined(tmp_path, word)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert word in said
    assert said.endswith("; all options: headrace-agent join --help\n")


def test_what_options_change_nothing_of_is_named_and_no_password() -> None:
    usual = {"admin_port": 8093, "listen_port": 8000}
    wanted = {**usual, "admin_port": 9000, "redis_url": "rediss://:hunter2@r:6379", "data_dir": None}
    lines = left_as_they_are(wanted, usual, {"admin_port": 8093, "listen_port": 80}, "/etc/x.toml")
    assert lines == [
        "--admin-port changes nothing here: admin_port is 8093, not 9000, in /etc/x.toml; change it there",
        "--redis-url-file changes nothing here: redis_url is another in /etc/x.toml; change it there",
    ]
    assert left_as_they_are(usual, usual, {}, "/etc/x.toml") == []
