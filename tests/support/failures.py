"""Report of a test run for programs: what failed and how, and how the run ended, one JSON object a line.

`scripts/rerun_failed.py` asks for it, by an environment variable, since options are not known to every run of pytest.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

REPORT = "HEADRACE_TEST_REPORT"
"""The path that the report is written to."""


def pytest_configure(config: pytest.Config) -> None:
    """Begin the report, in the process that the workers' results come to."""
    path = os.environ.get(REPORT)
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Report(Path(path)), "failures-report")


class _Report:
    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")

    def _add(self, record: object) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._add({"test": without_group(report.nodeid), "when": report.when, "error": report.longreprtext})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._add({"test": report.nodeid, "when": "collect", "error": report.longreprtext})

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._add({"ended": int(session.exitstatus), "tests": session.testscollected})


def without_group(name: str) -> str:
    """Return the test's name as pytest takes it: pytest-xdist adds `@group` to those that run in one worker."""
    at = name.rfind("@")
    return name[:at] if at > name.rfind("]") else name
