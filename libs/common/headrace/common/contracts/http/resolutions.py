"""Resolutions: what a creation or a change of a service comes to, and what is wrong with it. Nothing is changed."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import NonNegativeInt, PlainSerializer, StringConstraints, model_validator

from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.http.revisions import EffectiveSpec
from headrace.common.contracts.http.services import CreateService, UpdateService
from headrace.common.contracts.origin import Origin
from headrace.common.contracts.reasons import Reason, said_of
from headrace.common.contracts.stored import as_stored
from headrace.common.contracts.wording import Refused

Effect = Literal["create", "rollout", "live", "nothing"]
"""`create`: a new service. `rollout`: a new revision replaces the replicas, without downtime. `live`: the change takes hold
without touching a replica. `nothing`: all is as it is already."""

Amount = Annotated[Decimal, PlainSerializer(lambda amount: f"{amount.normalize():f}", return_type=str)]
"""An amount of a slot, as a decimal text."""


class Resolve(Body):
    """What is to be resolved: a creation (`create`), or a change (`update`) of `service`."""

    create: CreateService | None = None
    service: Annotated[str | None, StringConstraints(min_length=1, max_length=64)] = None
    """Name or id."""
    update: UpdateService | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        change = (self.service is not None, self.update is not None)
        if any(change) == (self.create is not None) or any(change) != all(change):
            given = ", ".join(name for name in ("create", "service", "update") if getattr(self, name) is not None)
            raise Refused(given or "nothing", "create alone, or service and update")
        return self


class ResolutionProblem(View):
    """One thing for which the request would be refused."""

    type: str
    """Type of the problem with which the request would be refused."""
    status: int
    detail: str
    field: str = ""
    """Field of the request, as `slots.cpu`; of a problem in a file the one that leads to it."""
    file: str | None = None
    """Definition file in the model folder."""
    path: str | None = None
    """Path in the file."""
    line: int | None = None
    column: int | None = None
    found: str | int | float | bool | None = None
    allowed: str | None = None


class ValueChange(View):
    """A value before and after the change."""

    field: str
    before: Any
    after: Any


class QuotaNeed(View):
    """What all replicas together need of one slot, beside what the project holds otherwise."""

    slot: str
    needed: Amount
    used: Amount
    limit: Amount | None
    """None: the project has no limit on it."""
    left: Amount | None
    """What is left with it; negative: it is refused."""


class ReplicasFit(View):
    """Whether the replicas that would start would be placed now, by the search of placement, as if nobody else waited. Nothing
    is reserved.

    A rollout of a service that fills its machines makes room by its own replicas (`max_unavailable`); that is not counted.
    """

    replicas: NonNegativeInt
    """That would start: all of a new service; the further ones of a change, and the first of a new revision."""
    placed: NonNegativeInt
    """How many of them would be placed."""
    reason: Annotated[Reason, said_of("placement")] | None = None
    """Why the others would wait, machine by machine."""


class ResolutionView(View):
    """What a request comes to. Without `problems` it would be done as it stands, if nothing changes meanwhile."""

    service: str
    project: str
    effect: Effect | None
    """None when the spec cannot be resolved."""
    revision: int | None
    """Revision that would be the current one."""
    effective: Annotated[EffectiveSpec | None, as_stored(EffectiveSpec)]
    """Effective spec with it; None when it cannot be resolved. A model URI that is new to the project has a folder with
    the id of zeros: it is made with the service."""
    origins: dict[str, Origin] = {}
    """Origin by the path of the value in `effective`."""
    live: tuple[ValueChange, ...] = ()
    """Changes that take hold without touching a replica."""
    rolls_out: tuple[ValueChange, ...] = ()
    """Changes of the effective spec, for which replicas are replaced."""
    quota: tuple[QuotaNeed, ...] = ()
    fit: ReplicasFit | None = None
    """None where no replica would start, or the spec cannot be resolved."""
    problems: tuple[ResolutionProblem, ...] = ()
    """All that is wrong, the first 20 of each file."""
    etag: str = ""
    """Of an update: `etag` of the service that it would change. Sent with it as `If-Match`, it does what this says, or nothing."""
    note: Annotated[Reason | None, said_of("note")] = None
