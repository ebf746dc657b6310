"""Views of what a search found."""

from __future__ import annotations

from headrace.common.contracts.http.search import SearchHit
from headrace.manager.domain.records.found import Found


def search_hit(found: Found) -> SearchHit:
    """Return what is shown of it."""
    return SearchHit(
        kind=found.kind, id=found.id, name=found.name, project=found.project, description=found.description
    )
