"""Records of machines' reports."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.manager.domain.addresses import ReportedAddress


@dataclass(frozen=True)
class AcceptedReport:
    """An accepted report: a machine whose report is neither old nor long on its way."""

    changed_capacity: bool
    said: ReportedAddress
