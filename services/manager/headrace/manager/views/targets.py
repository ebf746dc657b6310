"""View of scrape targets."""

from __future__ import annotations

from collections.abc import Iterable

from headrace.common.contracts.http.targets import TargetGroup, TargetGroups
from headrace.manager.domain.scrape_targets import Target


def target_groups(targets: Iterable[Target]) -> TargetGroups:
    """Return a group for each target, since no two have the same labels."""
    return TargetGroups(tuple(TargetGroup(targets=(one.address,), labels=dict(one.labels)) for one in targets))
