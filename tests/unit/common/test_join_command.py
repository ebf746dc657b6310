"""What the line by which a machine joins ends with: how its service is started."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from headrace.common.joining import command
from headrace.common.joining.command import Joiner, join


def _no_options(parser: ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path)


AGENT = Joiner("agent", "headrace-agent", "agent", _no_options, lambda _given: (), lambda _given, _answer: {})


@pytest.mark.parametrize("systemd", [True, False])
def test_a_machine_that_systemd_started_is_told_how_the_agent_stays_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, systemd: bool
) -> None:
    monkeypatch.setattr(command, "SYSTEMD", tmp_path if systemd else tmp_path / "absent")
    for name in ("bus/b.creds", "settings/b.toml"):  # of a join before
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert join(AGENT, ["--url", "https://ml.example.com", "--dir", str(tmp_path), "--name", "b"]) == 0
    (start,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("start it: ")]
    assert f"HEADRACE_AGENT_CONFIG={tmp_path}/settings/b.toml" in start
    assert (f"headrace systemd install {tmp_path} --now" in start) is systemd
