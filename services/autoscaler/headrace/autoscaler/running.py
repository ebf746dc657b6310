"""The autoscaler as a process: settings, logs, and its parts until a signal."""

from __future__ import annotations

from headrace.autoscaler.settings import Settings
from headrace.autoscaler.wiring import build
from headrace.common.obs.logging import configure_logging
from headrace.common.runtime.service import main as serve
from headrace.common.runtime.settings import load_settings


def main() -> None:
    """Run until SIGTERM or SIGINT. Exit status 1 when it cannot start or a part failed, 78 for wrong settings."""
    settings = load_settings(Settings)
    configure_logging("autoscaler", level=settings.log_level, log_format=settings.log_format)
    serve(lambda: build(settings), service="autoscaler")
