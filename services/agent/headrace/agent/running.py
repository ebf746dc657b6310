"""Entry point of the agent process."""

from __future__ import annotations

from headrace.agent.settings import Settings
from headrace.agent.wiring import build
from headrace.common.runtime.service import Service

SERVICE = Service("agent", Settings, build)
