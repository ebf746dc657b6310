"""Conversions of column values: references (name or id), and slots."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

from headrace.common.contracts.ids import ProjectId, UserId
from headrace.common.contracts.slots import read_slots
from headrace.manager.domain.access import Actor


def as_uuid(reference: str) -> UUID | None:
    """Parse a reference as an id; None when it is a name."""
    try:
        return UUID(reference)
    except ValueError:
        return None


def visibility(actor: Actor) -> tuple[UserId, bool, tuple[ProjectId, ...] | None]:
    """Return by what it is told what a caller may see: the user's memberships, all as an operator, and of that only some projects."""
    return actor.user_id, actor.operator, actor.projects


def slots(value: Mapping[str, str] | None) -> dict[str, Decimal] | None:
    """Convert slots from their stored form."""
    return None if value is None else read_slots(value)


def plain(value: Mapping[str, Decimal] | None) -> dict[str, str] | None:
    """Convert slots to their stored form."""
    return None if value is None else {name: f"{amount.normalize():f}" for name, amount in sorted(value.items())}
