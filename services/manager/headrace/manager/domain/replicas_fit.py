"""How many new replicas of a service would be placed now, by the search of placement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from headrace.common.contracts.ids import SessionId
from headrace.manager.domain.placement.machines import Machine, Request, Unplaced, with_plan
from headrace.manager.domain.placement.scheduler import place_all
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec

MAX_JUDGED: Final = 1000
"""Replicas that are searched machines for; where all of these fit, further ones are not judged."""


@dataclass(frozen=True)
class ReplicasFit:
    """How many of the replicas that are to start would be placed."""

    asked: int
    placed: int
    unplaced: Unplaced | None
    """Why the first that would not, would wait."""


def replicas_fit(
    machines: Sequence[Machine], spec: ResolvedSpec, resource_group: str, replicas: int, now: datetime
) -> ReplicasFit:
    """Return how many of `replicas` would be placed on these machines, as if nobody else waited."""
    judged = min(replicas, MAX_JUDGED)
    slots = with_plan(spec.slots, len(spec.model_dump_json()))
    has_secrets = any(pin.use != "model" for pin in spec.secrets)
    requests = [
        Request(
            SessionId(UUID(int=number)),
            resource_group,
            spec.architecture,
            not spec.image,
            slots,
            now,
            has_secrets=has_secrets,
        )
        for number in range(1, judged + 1)
    ]
    placed, waiting = place_all(machines, requests, now)
    return ReplicasFit(judged, len(placed), waiting[0] if waiting else None)
