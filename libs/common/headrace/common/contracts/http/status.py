"""Status of an installation: each part of it, for operators."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import View
from headrace.common.contracts.reasons import Reason, said_of
from headrace.common.contracts.vocabulary import PartKind, PartStatus


class PartView(View):
    """One part of an installation: a process of Headrace, a machine's agent, or a store."""

    kind: PartKind
    name: str
    status: PartStatus
    version: str | None
    """None: not known."""
    host: str
    """Name of its machine or container; empty: not known."""
    address: str
    """Where it listens, as far as it tells: HOST:PORT or a URL."""
    since: AwareDatetime | None
    """`up`, `starting`: since its start. `degraded`: since it has been so. Else: when it was last heard of. None: not known."""
    reasons: tuple[Annotated[Reason, said_of("installation")], ...] = ()
    """Why it is not `up`, and what that means. Empty if it is."""
    facts: dict[str, str | int | float] = {}
    """Further facts by name, with the unit in the name (`size_bytes`, `latency_s`)."""


class AgentCounts(View):
    """Machines of an installation."""

    alive: int
    lost: int


class InstallationStatus(View):
    """Status of an installation, as the manager that answers sees it."""

    status: Literal["healthy", "degraded"]
    """`degraded`: a part that should work does not, or not wholly."""
    at: AwareDatetime
    answered_by: str
    """Name of the manager that answered."""
    reasons: tuple[Annotated[Reason, said_of("installation")], ...] = ()
    """What is said of the installation as a whole."""
    parts: tuple[PartView, ...]
    """Managers, autoscalers, app-proxies and stores; and of the machines at most 500, those in trouble first."""
    agents: AgentCounts
