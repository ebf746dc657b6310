"""Records of revisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import RevisionId, ServiceId
from headrace.common.contracts.revision import RevisionSpec
from headrace.manager.domain.variants.resolved_spec import Resolution, ResolvedSpec


@dataclass(frozen=True)
class Revision:
    """One immutable revision."""

    id: RevisionId
    service_id: ServiceId
    number: int
    spec: RevisionSpec
    resolution: Resolution
    message: str
    created_by: str
    created_at: datetime

    @property
    def resolved(self) -> ResolvedSpec:
        """What its replicas are started with."""
        return self.resolution.spec
