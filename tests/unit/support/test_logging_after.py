"""What a test configures of logging ends with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SUITE = """
import logging, sys
from headrace.common.obs.logging import configure_logging
from tests.conftest import _own_logging

def test_one(capsys):
    configure_logging("service")
    logging.getLogger("some").warning("first")
    assert "first" in capsys.readouterr().err

def test_two(capsys):
    assert not [h for h in logging.getLogger().handlers if type(h) is logging.StreamHandler]
    logging.getLogger("some").warning("second")
    assert "Logging error" not in capsys.readouterr().err
"""


def test_a_handler_that_a_test_configured_does_not_outlive_it(tmp_path: Path) -> None:
    suite = tmp_path / "test_suite.py"
    suite.write_text(SUITE)
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            "/dev/null",
            "--rootdir",
            str(tmp_path),
            str(suite),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
