"""Entry point of the autoscaler process."""

from __future__ import annotations

from headrace.autoscaler.settings import Settings
from headrace.autoscaler.wiring import build
from headrace.common.runtime.service import Service

SERVICE = Service("autoscaler", Settings, build)
