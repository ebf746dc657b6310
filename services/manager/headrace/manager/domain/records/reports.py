"""Records of machines' reports."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.manager.domain.addresses import ReportedAddress


@dataclass(frozen=True)
class AcceptedReport:
    """An accepted report: neither older than the last one nor delayed."""

    changed_capacity: bool
    said: ReportedAddress
