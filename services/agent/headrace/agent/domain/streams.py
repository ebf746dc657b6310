"""Concurrency limit of log streams: one reader leaves room for the others. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

Scope = Literal["machine", "project", "service"]
MOST: dict[Scope, int] = {"service": 32, "project": 64, "machine": 128}
"""A reader of a whole service has one for each of its replicas on the machine."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose log a stream reads. Of a kernel that is gone only its own id is known: `service` is that then."""

    service: UUID
    project: UUID | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The bound that one more stream would pass: there are `found`, and `allowed` is the most."""

    scope: Scope
    found: int
    allowed: int

    @property
    def words(self) -> str:
        """What a reader is told."""
        whose = {
            "machine": "this machine",
            "project": "the project on this machine",
            "service": "the service on this machine",
        }
        return (
            f"{self.found} logs of {whose[self.scope]} are being read (allowed: {self.allowed}); "
            "try again when a reader has left"
        )


def refusal(open_streams: Collection[Owner], owner: Owner) -> Refusal | None:
    """Return why one more stream of `owner` must not begin; None when it may. The narrowest bound is named."""
    services = Counter(one.service for one in open_streams)
    projects = Counter(one.project for one in open_streams)
    counts: dict[Scope, int] = {
        "service": services[owner.service],
        "project": projects[owner.project] if owner.project is not None else 0,
        "machine": len(open_streams),
    }
    return next((Refusal(scope, counts[scope], MOST[scope]) for scope in MOST if counts[scope] >= MOST[scope]), None)
