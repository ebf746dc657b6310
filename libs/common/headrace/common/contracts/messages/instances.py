"""What a process of Headrace says of itself, as a part of its reports."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AwareDatetime, Field, StringConstraints

from headrace.common.contracts.messages.envelope import Part

MAX_CHECKS: Final = 16
MAX_CHECK_TEXT: Final = 500
"""Characters of why one check is not passed."""


class ServiceInstance(Part):
    """Running process of a service: its version, host and start, and what is wrong with it."""

    version: Annotated[str, StringConstraints(max_length=64)]
    host: Annotated[str, StringConstraints(max_length=253)]
    """Name of its machine, or of its container."""
    started_at: AwareDatetime
    ready: bool = True
    """What its `/readyz` says."""
    checks: Annotated[dict[str, str], Field(max_length=MAX_CHECKS)] = {}
    """Readiness checks and warnings that are not passed, and why. Empty: all is well."""
    stopping: bool = False
    """This is its last report: it was stopped in order."""
