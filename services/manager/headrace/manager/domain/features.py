"""Feature switches of projects: what operators may switch off for one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, get_args

from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.vocabulary import Feature
from headrace.manager.domain.records.projects import Project

FEATURES: Final[tuple[Feature, ...]] = get_args(Feature)


def states(off: Iterable[str]) -> dict[Feature, bool]:
    """Return whether each feature is on."""
    return {feature: feature not in set(off) for feature in FEATURES}


def changed(off: Iterable[str], change: Mapping[Feature, bool | None] | None) -> tuple[str, ...]:
    """Return what is switched off after a change: false switches a feature off, true and null on; null for all of it all of them."""
    if change is None:
        return ()
    return tuple(sorted({*off} - change.keys() | {feature for feature, on in change.items() if on is False}))


def refusal(project: Project, feature: Feature, field: str, found: object, allowed: str) -> InvalidRequest | None:
    """Return the problem of a field by which the project would use a feature that is switched off."""
    if feature not in project.features_off:
        return None
    return InvalidRequest.of(
        field, found, f"{allowed}: operators have switched {feature} off for project {project.name}"
    )
