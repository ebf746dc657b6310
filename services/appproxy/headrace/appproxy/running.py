"""The parent process of the app-proxy: preflight checks, then the built service."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from headrace.appproxy.control.preflight import preflight_errors
from headrace.appproxy.control.socket_activation import InheritedSockets
from headrace.appproxy.file_limit import raise_limit
from headrace.appproxy.settings import Settings
from headrace.appproxy.wiring import build
from headrace.common.runtime.service import CannotStartError, Service, Task

_AFTER_GRACE_S = 10.0
"""Time allowed for cutting and closing after the grace."""


def _checked(settings: Settings) -> AbstractAsyncContextManager[Iterable[Task]]:
    """Return the service to run. Raises CannotStartError with every preflight error."""
    raise_limit()
    inherited = InheritedSockets.from_environment(os.environ, os.getpid())
    if found := preflight_errors(settings, inherited):
        raise CannotStartError("; ".join(found))
    return _tasks(settings, inherited)


@asynccontextmanager
async def _tasks(settings: Settings, inherited: InheritedSockets) -> AsyncIterator[Iterable[Task]]:
    async with build(settings, inherited) as proxy:
        yield proxy.tasks


SERVICE = Service("appproxy", Settings, _checked, grace_s=lambda settings: settings.shutdown_grace_s + _AFTER_GRACE_S)
