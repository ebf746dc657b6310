"""Scrape targets, in the form of Prometheus' HTTP service discovery."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, RootModel

from headrace.common.contracts.http.page import View

TargetKind = Literal["agent", "appproxy", "replica"]


class TargetGroup(View):
    """Addresses with the same labels."""

    targets: tuple[str, ...]
    """HOST:PORT, whose `/metrics` is scraped."""
    labels: dict[str, str]
    """`job` (`headrace-agent`, `headrace-appproxy`, `headrace-replica`), `instance` (its id), and of replicas `project`,
    `service`, `revision` and `agent`."""


class TargetGroups(RootModel[tuple[TargetGroup, ...]]):
    """All targets: a list, as Prometheus wants it, not a page."""

    model_config = ConfigDict(frozen=True, defer_build=True)
