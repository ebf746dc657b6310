"""Records of what is counted for metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServiceCount:
    """Replicas of a service."""

    project: str
    service: str
    wanted: int
    serving: int
