"""The manager as a process: settings, logs, and its parts until a signal; or the migration of its database alone."""

from __future__ import annotations

import asyncio
import sys

from headrace.common.contracts.problems import Problem
from headrace.common.db.migrate import migrate
from headrace.common.obs.logging import configure_logging
from headrace.common.runtime.service import main as run
from headrace.common.runtime.settings import load_settings
from headrace.manager.settings import Settings
from headrace.manager.wiring import build


def main() -> int:
    """Return the exit status: 0 ended as asked, 1 could not start, 2 wrong usage, 78 wrong settings."""
    if sys.argv[1:] not in ([], ["migrate"]):
        sys.stderr.write("usage: python -m headrace.manager [migrate]\n")
        return 2
    settings = load_settings(Settings)
    configure_logging("manager", level=settings.log_level, log_format=settings.log_format)
    try:
        if sys.argv[1:] == ["migrate"]:
            applied = asyncio.run(migrate(settings.database_url.get_secret_value()))
            sys.stdout.write(f"applied {applied or 'nothing; the database is up to date'}\n")
        else:
            run(lambda: build(settings), service="manager")
    except (Problem, OSError) as error:
        sys.stderr.write(f"manager could not start: {error}\n")
        return 1
    return 0
