"""Concurrency limits of log streams, per service, project and machine: one reader cannot exclude the others. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Scope = Literal["machine", "project", "service"]
MOST: dict[Scope, int] = {"service": 32, "project": 64, "machine": 128}
"""Maximum number of log streams by scope. A reader of a whole service has a stream for each of its replicas on the
machine."""


@dataclass(frozen=True, slots=True)
class StreamOwner:
    """StreamOwner of a log stream: service and project. For a removed kernel only its own id is known; `service` is that then."""

    service: UUID
    project: UUID | None


@dataclass(frozen=True, slots=True)
class StreamRefusal:
    """StreamRefusal of a log stream: the limit it would exceed, with the number `found` and the number `allowed`."""

    scope: Scope
    found: int
    allowed: int

    @property
    def words(self) -> str:
        """Text of the refusal for the reader."""
        whose = {
            "machine": "this machine",
            "project": "the project on this machine",
            "service": "the service on this machine",
        }
        return (
            f"{self.found} logs of {whose[self.scope]} are being read (allowed: {self.allowed}); "
            "try again when a reader has left"
        )


def refusal(open_streams: Collection[StreamOwner], owner: StreamOwner) -> StreamRefusal | None:
    """Return the refusal of one more stream of `owner`; None when it may begin. The narrowest limit is named."""
    services = Counter(one.service for one in open_streams)
    projects = Counter(one.project for one in open_streams)
    counts: dict[Scope, int] = {
        "service": services[owner.service],
        "project": projects[owner.project] if owner.project is not None else 0,
        "machine": len(open_streams),
    }
    return next(
        (StreamRefusal(scope, counts[scope], MOST[scope]) for scope in MOST if counts[scope] >= MOST[scope]), None
    )
