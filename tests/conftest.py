"""Hooks for the whole suite: order and groups of parallel runs, test names, skips."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
import structlog
from _pytest.logging import LogCaptureHandler

from tests.support.groups import order

pytest_plugins = ["tests.support.backends", "tests.support.effort", "tests.support.failures"]
MAX_VALUE_CHARS = 40
# plain: a rich traceback takes a fifth of a second to draw, and outages log many
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_configure() -> None:
    """Let Ctrl-C end the commands that tests start, also where the suite runs in the background of a shell.

    A shell starts such jobs with SIGINT ignored, and programs inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect with the garbage collector off, and freeze the result: it lives until the end.

    Thousands of tests are millions of objects; each collection of them takes 0.2 s, a fifth of the total.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order and group tests for parallel runs.

    Without a Docker engine its tests are skipped with the reason, and so are those of root for other users; in CI they fail instead.
    """
    order(items)
    if os.environ.get("CI"):
        return
    wanting = [item for item in items if item.get_closest_marker("docker")]
    if wanting and (why := _no_docker()):
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason=f"needs a Docker engine that this user may use: {why}"))
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root: it makes network namespaces"))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a parameter by the beginning of a long value.

    All workers must generate the same names, and signed tokens end differently in each.
    """
    if isinstance(val, str | bytes) and len(val) > MAX_VALUE_CHARS:
        text = val if isinstance(val, str) else val.decode("latin-1")
        return text[:MAX_VALUE_CHARS].encode("unicode_escape").decode()
    return None


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return two workers more than cores; 0 for tests by name.

    Two stacks with their replicas are worked through in a worker each, and these wait for most of their time. Unit tests get one
    per core: they wait for nothing.
    """
    if all("::" in word for word in config.args):
        return 0
    units = all(word.startswith("tests/unit") for word in config.args)
    return len(os.sched_getaffinity(0)) + 2 * (not units)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Undo what a test configures of logging, as a command or a service does that runs in its process.

    A handler that stays writes to the standard error of a test that has ended, and so fails a later one.
    """
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = set(root.handlers), root.level
    yield
    for handler in root.handlers[:]:
        if handler not in handlers and not isinstance(handler, LogCaptureHandler):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
    structlog.configure(**before)


def _no_docker() -> str:
    """Return why no engine can be used; empty when one can."""
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if asked.returncode == 0 else (asked.stderr.strip().splitlines() or ["docker info failed"])[-1]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail the run in CI when a test was skipped: what the machine lacks must be installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("skipped tests are not allowed in CI", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
