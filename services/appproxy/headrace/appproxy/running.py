"""The app-proxy as a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from headrace.appproxy.settings import Settings
from headrace.appproxy.wiring import build
from headrace.common.obs.logging import configure_logging
from headrace.common.runtime import service
from headrace.common.runtime.settings import load_settings

_AFTER_GRACE_S = 10.0
"""Cutting what is left after the grace, and closing, takes a moment too."""


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = load_settings(Settings)
    configure_logging("appproxy", level=settings.log_level, log_format=settings.log_format)

    @asynccontextmanager
    async def built() -> AsyncIterator[Iterable[service.Task]]:
        async with build(settings) as proxy:
            yield proxy.tasks

    service.main(built, service="appproxy", grace_s=settings.shutdown_grace_s + _AFTER_GRACE_S)
