"""Rules for the whole suite."""

from __future__ import annotations

import os

import pytest
import structlog

pytest_plugins = ["tests.support.backends"]
# plain: a rich traceback takes a fifth of a second to draw, and outages log many
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: what a machine lacks must be installed, not left out."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("skipped tests are not allowed in CI", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
