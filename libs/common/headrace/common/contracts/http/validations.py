"""Validations: trial runs of a spec."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import Reference, View
from headrace.common.contracts.ids import SessionId, Slug
from headrace.common.contracts.messages.plans import SessionKind
from headrace.common.contracts.reasons import Reason, said_of
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.vocabulary import SessionStatus


class StartValidation(RevisionSpec):
    """Start a trial run of a spec, without creating a service."""

    project: Reference | None = None
    resource_group: Slug | None = None
    """Machines to use; null: the group that is the project's default, else `default`."""


class ValidationView(View):
    """A trial run. `verdict` is set once it is `done`: passed means that the model answered its health check."""

    id: SessionId
    kind: SessionKind
    status: SessionStatus
    done: bool
    verdict: Literal["passed", "failed"] | None
    reason: Annotated[Reason, said_of("session", "placement", "kernel")]
    started_at: AwareDatetime
