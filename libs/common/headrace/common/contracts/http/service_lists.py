"""Lists of services: pages with totals, and counts by status and phase."""

from __future__ import annotations

from pydantic import NonNegativeInt

from headrace.common.contracts.http.page import Page, View
from headrace.common.contracts.http.services import ServiceView
from headrace.common.contracts.vocabulary import ServicePhase, ServiceStatus


class ServicePage(Page[ServiceView]):
    """One page of services, in the order that was asked for; `next` is the cursor of the next page, null at the end.

    A page may have few items, or none, and still have a next one.
    """

    total: NonNegativeInt | None = None
    """Number of services that pass the filters, on all pages. null with `status` or `phase`, which the database does not know:
    GET /v1/services/counts."""


class ServiceCounts(View):
    """Numbers of the services that pass the filters."""

    counted: NonNegativeInt
    """Services that were counted: the sum by status, and by phase."""
    complete: bool
    """Whether these are all. If not, the oldest 2,000 that pass the other filters were examined for status and phase."""
    by_status: dict[ServiceStatus, NonNegativeInt]
    by_phase: dict[ServicePhase, NonNegativeInt]
