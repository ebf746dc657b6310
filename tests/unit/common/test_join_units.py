"""The unit of a service that joined: where one is possible, and what comes of its installation."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from headrace.common.joining import units


@pytest.fixture
def booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of units of a machine that systemd started, and root."""
    monkeypatch.setattr(units, "SYSTEMD", tmp_path)
    monkeypatch.setattr(units, "UNITS", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def test_where_systemd_does_not_run_or_somebody_else_asks_it_is_said(
    booted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert units.unsupported() is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert units.unsupported() == "only root may install units"
    monkeypatch.setattr(units, "SYSTEMD", booted / "none")
    assert units.unsupported() == "systemd does not run on this machine"


def test_a_unit_of_other_settings_is_left_alone(booted: Path) -> None:
    own, other = Path("/etc/headrace/settings/b.toml"), Path("/etc/headrace/settings/bb.toml")
    assert units.unit_check("agent", own).mend is None
    unit = booted / "headrace-agent.service"
    unit.write_text(f"[Service]\nLoadCredential=b.toml:{own}\n")
    assert units.unit_check("agent", own).mend is None
    found = units.unit_check("agent", other)
    assert found.found == "headrace-agent.service of other settings"
    assert found.mend == "--no-service, or end the other: headrace systemd uninstall --service agent"
    unit.write_bytes(b"\xff")
    assert units.unit_check("agent", own).mend is not None


def test_the_command_is_that_of_the_same_environment() -> None:
    words = ("--service", "appproxy", "--appproxy", "edge-2")
    assert units.install_command(Path("/etc/headrace"), "appproxy", "edge-2") == [
        *(sys.executable, "-m", "headrace.cli", "systemd", "install", "/etc/headrace", *words, "--now")
    ]


def test_what_it_says_is_passed_on_and_a_failure_is_its_last_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_JOIN_TOKEN", "hrj_secret")
    units.install(["sh", "-c", "echo step; echo ${HEADRACE_JOIN_TOKEN-none}"])
    assert capfd.readouterr().out == "step\nnone\n"
    with pytest.raises(units.UnitError, match=r"^second$"):
        units.install(["sh", "-c", "echo first >&2; echo error: second >&2; exit 1"])
    with pytest.raises(units.UnitError, match=r"^exit status 3$"):
        units.install(["sh", "-c", "exit 3"])
    with pytest.raises(units.UnitError, match="No such file"):
        units.install(["/nonexistent"])


def test_one_that_is_not_ready_in_time_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "INSTALL_S", 0.05)
    with pytest.raises(units.UnitError, match=r"not ready after 0\.05 s; systemctl status"):
        units.install(["sleep", "5"])
