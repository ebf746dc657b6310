"""Records of lists of services: filter, sort, and position in a sorted list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.common.contracts.ids import FolderId, ProjectId, ServiceId
from headrace.common.contracts.vocabulary import RuntimeVariant, ServicePhase, ServiceSort, SortOrder

SortKey = UUID | str | int | datetime
"""Value of a service by which a list is sorted."""


@dataclass(frozen=True)
class ServiceFilter:
    """What the database knows of a list's filters; None: any."""

    project_id: ProjectId | None = None
    owner: str | None = None
    """Name or id of the user who created it."""
    text: str | None = None
    """Text in name, description, tags or metadata, its own or the model's."""
    tag: str | None = None
    runtime: RuntimeVariant | None = None
    folder_id: FolderId | None = None
    """Its current revision mounts it."""
    agent: str | None = None
    """A live replica of it is on this machine."""
    phase: ServicePhase | None = None
    """Only candidates for it: whether a service is in the phase is told by its replicas too."""


@dataclass(frozen=True)
class Position:
    """Place in a sorted list: that of a service. Ids decide between equal keys, so that each place is one service's."""

    key: SortKey
    service_id: ServiceId


@dataclass(frozen=True)
class ServiceOrder:
    """Order of a list of services."""

    sort: ServiceSort = "created"
    direction: SortOrder = "asc"
