"""`python -m headrace.agent`."""

from __future__ import annotations

from headrace.agent.settings import Settings
from headrace.agent.wiring import build
from headrace.common.obs.logging import configure_logging
from headrace.common.runtime.service import main
from headrace.common.runtime.settings import load_settings

if __name__ == "__main__":
    settings = load_settings(Settings)
    configure_logging("agent", level=settings.log_level, log_format=settings.log_format)
    main(lambda: build(settings), service="agent")
