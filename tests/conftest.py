"""Rules for the whole suite."""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Iterator

import pytest
import structlog

from tests.support.groups import order

pytest_plugins = ["tests.support.backends", "tests.support.effort", "tests.support.failures"]
MOST_OF_A_VALUE = 40
# plain: a rich traceback takes a fifth of a second to draw, and outages log many
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without looking for garbage, and never look through what was collected: it stays until the end.

    Thousands of tests are millions of objects; to go through them costs 0.2 s each time, and a fifth of collecting.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order and group what runs in parallel. Without a Docker engine its tests are skipped, saying so; in CI they fail instead."""
    order(items)
    wanting = [item for item in items if item.get_closest_marker("docker")]
    if wanting and not os.environ.get("CI") and (why := _no_docker()):
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason=f"needs a Docker engine that this user may use: {why}"))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a test by the beginning of a long value: all workers must make the same names, and signed tokens end differently in each."""
    if isinstance(val, str | bytes) and len(val) > MOST_OF_A_VALUE:
        text = val if isinstance(val, str) else val.decode("latin-1")
        return text[:MOST_OF_A_VALUE].encode("unicode_escape").decode()
    return None


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores, since tests wait for servers and containers half of their time; none for tests by name.

    As many as there are cores for unit tests, which wait for nothing.
    """
    if all("::" in word for word in config.args):
        return 0
    units = all(word.startswith("tests/unit") for word in config.args)
    return len(os.sched_getaffinity(0)) + (not units)


def _no_docker() -> str:
    """Return why no engine can be used; nothing when one can."""
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if asked.returncode == 0 else (asked.stderr.strip().splitlines() or ["docker info failed"])[-1]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI a skipped test is a failure: what a machine lacks must be installed, not left out."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("skipped tests are not allowed in CI", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
