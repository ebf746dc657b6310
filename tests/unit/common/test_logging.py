"""What must never be in a log, whatever its shape."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from headrace.common.obs.logging import configure_logging
configure_logging("test", log_format="{log_format}")
def connect(password):
    raise OSError("refused")
try:
    connect("hun" + "ter2")
except OSError:
    structlog.get_logger().exception("pass_failed", loop="plans")
"""


@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_tracebacks_hold_no_local_variables(log_format: str) -> None:
    """A traceback with locals is a way for passwords into logs."""
    program = PROGRAM.replace("{log_format}", log_format)
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "pass_failed" in done.stderr
    assert "OSError: refused" in done.stderr
    assert "hunter2" not in done.stderr
