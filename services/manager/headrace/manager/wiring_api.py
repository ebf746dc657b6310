"""Wiring of the API: its application with the web console, on its server."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headrace.common.contracts.readiness import ReadinessCheck
from headrace.common.web.app import Check, WebServer
from headrace.manager.api.app import make_api
from headrace.manager.api.console import WebConsole
from headrace.manager.console_files import ConsoleFiles, console_folder
from headrace.manager.settings import Settings, certificate
from headrace.manager.usecases.facade import UseCases


def make_api_server(
    settings: Settings,
    use_cases: UseCases,
    *,
    checks: Mapping[ReadinessCheck, Check],
    warnings: Mapping[ReadinessCheck, Check],
    monotonic: Callable[[], float],
) -> WebServer:
    """Return the server of the API. Raises TlsFileError."""
    return WebServer(
        make_api(use_cases, make_web_console(settings, monotonic), checks=checks, warnings=warnings),
        host=settings.listen_host,
        port=settings.listen_port,
        name="api",
        max_connections=settings.max_connections,
        certificate=certificate(settings),
        balancers=settings.proxy_protocol_from,
    )


def make_web_console(settings: Settings, monotonic: Callable[[], float]) -> WebConsole:
    """Return the web console of this installation."""
    folder, soon = console_folder(settings.console_dir)
    return WebConsole(ConsoleFiles(folder, soon=soon, monotonic=monotonic), settings.console_chat_origins)
