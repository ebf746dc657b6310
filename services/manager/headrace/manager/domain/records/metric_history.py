"""Records of the history of services' metrics."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import ServiceId


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """Window of a service as it is stored."""

    service_id: ServiceId
    at: datetime
    source: str
    contents: str


@dataclass(frozen=True, slots=True)
class StoredHour:
    """Hour of a service as it is stored."""

    service_id: ServiceId
    hour: datetime
    contents: str


@dataclass(frozen=True, slots=True)
class NamedService:
    """Service by name."""

    id: ServiceId
    name: str
    project: str
