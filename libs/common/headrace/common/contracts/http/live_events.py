"""Live events: what a stream tells of changes."""

from __future__ import annotations

from typing import TypeAlias

from headrace.common.contracts.http.page import View
from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.vocabulary import FollowEnd, LiveKind

MAX_EVENT_ID = 80
"""Characters of an event's id, `<manager start>-<number>`."""


class LiveChange(View):
    """Event `change`: something changed, was made or is gone. Whoever shows it reads it again."""

    kind: LiveKind
    id: str
    """Id of what changed; of a machine and a resource group its name."""
    project: ProjectId | None = None
    """Id of its project; null: it is of none."""


class LiveReady(View):
    """Event `ready`: what was missed has been told, and from here on changes are told as they come."""

    version: str
    """Version of the manager."""


class LiveReset(View):
    """Event `reset`: changes may have been missed. Whatever is shown has to be read again."""


class LiveEnd(View):
    """Event `end`: the last one of a stream. Go on with a new one, from the last id."""

    reason: FollowEnd
    detail: str


LiveEvent: TypeAlias = LiveChange | LiveReady | LiveReset | LiveEnd
