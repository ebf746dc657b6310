"""docs/data-plane.md names every field of the access log."""

from __future__ import annotations

from pathlib import Path

import structlog

from headrace.appproxy.dataplane.telemetry.access_log import AccessLog
from tests.unit.appproxy.accounts import ended

PAGE = (Path(__file__).parents[3] / "docs/data-plane.md").read_text()


def test_every_field_of_the_access_log_is_documented() -> None:
    log = AccessLog(share=1.0, most_per_s=1, chance=lambda: 0.0, now=lambda: 0.0)
    with structlog.testing.capture_logs() as lines:
        log.ended(ended(), 1.0)
    (line,) = lines
    section = PAGE.split("\n### Access log\n", 1)[1].split("\n#", 1)[0]
    _, _, *rows = [row for row in section.splitlines() if row.startswith("|")]
    documented = [name.strip("` ") for row in rows for name in row.split("|")[1].split(",")]
    assert sorted(documented) == sorted(line.keys() - {"event", "log_level"})
