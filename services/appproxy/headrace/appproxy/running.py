"""Entry point of the parent process: settings, preflight checks, logging, then the built service."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from headrace.appproxy.control.preflight import preflight_errors
from headrace.appproxy.control.socket_activation import InheritedSockets
from headrace.appproxy.file_limit import raise_limit
from headrace.appproxy.settings import Settings
from headrace.appproxy.wiring import build
from headrace.common.obs.logging import configure_logging
from headrace.common.runtime import service
from headrace.common.runtime.settings import load_settings

_AFTER_GRACE_S = 10.0
"""Cutting what is left after the grace, and closing, takes a moment too."""


def main() -> None:
    """Run until SIGTERM or SIGINT. Exit status 78 for settings that are malformed, 2 where it cannot start with those it has: both
    said in one line; 1 when a part failed."""
    settings = load_settings(Settings)
    raise_limit()
    inherited = InheritedSockets.from_environment(os.environ, os.getpid())
    if found := preflight_errors(settings, inherited):
        sys.stderr.write(f"cannot start: {'; '.join(found)}\n")
        sys.exit(2)
    configure_logging("appproxy", level=settings.log_level, log_format=settings.log_format)

    @asynccontextmanager
    async def built() -> AsyncIterator[Iterable[service.Task]]:
        async with build(settings, inherited) as proxy:
            yield proxy.tasks

    service.main(built, service="appproxy", grace_s=settings.shutdown_grace_s + _AFTER_GRACE_S)
