"""Views of live events."""

from __future__ import annotations

from headrace.common.contracts.http import live_events as shown
from headrace.manager.domain.records.live_changes import LiveChange


def live_change(change: LiveChange) -> shown.LiveChange:
    """Return what is told of a change."""
    return shown.LiveChange(kind=change.kind, id=change.thing_id, project=change.project_id)
