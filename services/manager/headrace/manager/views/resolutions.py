"""Views of resolutions: problems by field, and values before and after a change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel

from headrace.common.contracts import stored
from headrace.common.contracts.cors import Cors
from headrace.common.contracts.http.resolutions import QuotaNeed, ReplicasFit, ResolutionProblem, ValueChange
from headrace.common.contracts.http.revisions import EffectiveSpec
from headrace.common.contracts.http.services import UpdateService
from headrace.common.contracts.messages.routes import Balance, Limits, RateLimits
from headrace.common.contracts.problems import Problem, QuotaExceeded
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.rollout import Rollout
from headrace.manager.domain import replicas_fit
from headrace.manager.domain.quota import Need
from headrace.manager.domain.records.services import Service

_DOCUMENTS: Final[Mapping[str, type[BaseModel]]] = {
    "balance": Balance,
    "limits": Limits,
    "caller_limits": RateLimits,
    "cors": Cors,
    "rollout": Rollout,
}
_COLUMNS: Final[Mapping[str, str]] = {
    "description": "description",
    "replicas": "wanted",
    "open_to_public": "open_to_public",
    "metadata": "metadata",
    "tags": "tags",
    "drain_grace_s": "drain_grace_s",
    "endpoint_port": "endpoint_port",
    "models": "models",
}
"""Column of a service by the field that changes it."""
_BY_KEY: Final = ("slots", "environ", "health_check")
_LISTS: Final = ("mounts", "secrets")


def problem_views(problem: Problem, field: str) -> Iterator[ResolutionProblem]:
    """Return a row for each error of the problem. `field`: which one it is about, where the errors do not say it."""
    facts = {"type": problem.type, "status": problem.status, "file": problem.extra.get("file")}
    errors = problem.extra.get("errors") or [_error(problem)]
    for error in errors:
        row = {name: error[name] for name in ("path", "line", "column", "found", "allowed") if name in error}
        detail = (
            problem.detail
            if len(errors) == 1
            else f"{_place(error)}: found {error['found']}; allowed: {error['allowed']}"
        )
        yield ResolutionProblem(**facts, **row, field=error.get("field") or field, detail=detail)


def _error(problem: Problem) -> Mapping[str, Any]:
    """Return the problem without a list of errors as one."""
    if isinstance(problem, QuotaExceeded):
        whole = Decimal(problem.extra["used"]) + Decimal(problem.extra["requested"])
        return {"found": f"{whole.normalize():f}", "allowed": f"at most {problem.extra['limit']}"}
    return problem.extra


def _place(error: Mapping[str, Any]) -> str:
    return str(error.get("field") or error.get("path") or "(file)")


def quota_view(need: Need) -> QuotaNeed:
    """Return what is needed of one slot."""
    return QuotaNeed(slot=need.slot, needed=need.asked, used=need.used, limit=need.limit, left=need.left)


def fit_view(found: replicas_fit.ReplicasFit) -> ReplicasFit:
    """Return how many replicas would be placed."""
    reason = None if found.unplaced is None else Reason.of(found.unplaced.code, found.unplaced.text)
    return ReplicasFit(replicas=found.asked, placed=found.placed, reason=reason)


def spec_changes(before: EffectiveSpec, after: EffectiveSpec) -> tuple[ValueChange, ...]:
    """Return the values in which two effective specs differ. Metadata is no value of replicas."""
    old, new = _flat(before), _flat(after)
    return tuple(
        ValueChange(field=path, before=old.get(path), after=new.get(path))
        for path in sorted({*old, *new})
        if old.get(path) != new.get(path)
    )


def _flat(spec: EffectiveSpec) -> dict[str, Any]:
    document = spec.model_dump(mode="json", exclude={"metadata", "source"})
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if name in _BY_KEY and value is not None:
            flat |= {f"{name}.{key}": item for key, item in value.items()}
        elif name in _LISTS:
            flat |= {f"{name}[{index}]": item for index, item in enumerate(value)}
        else:
            flat[name] = value
    return flat


def live_changes(service: Service, change: UpdateService) -> tuple[ValueChange, ...]:
    """Return the changed settings that no replica knows of."""
    return tuple(found for found in _live(service, change) if found.before != found.after)


def _live(service: Service, change: UpdateService) -> Iterable[ValueChange]:
    given = change.model_dump(mode="json", include=change.model_fields_set)
    for field, column in _COLUMNS.items():
        if field in given:
            before = getattr(service, column)
            after = given[field] or None if field == "endpoint_port" else given[field]
            yield ValueChange(field=field, before=list(before) if isinstance(before, tuple) else before, after=after)
    for field, model in _DOCUMENTS.items():
        if field in given:
            yield from _in_document(field, model, getattr(service, field), getattr(change, field))


def _in_document(
    field: str, model: type[BaseModel], there: Mapping[str, Any], given: BaseModel | None
) -> Iterable[ValueChange]:
    """Return the changes of a document, of which only what differs from the default is stored; null resets a key, or all."""
    change = {} if given is None else given.model_dump(mode="json", exclude_unset=True)
    below = {} if given is None else dict(there)
    before = stored.read(model, dict(there)).model_dump(mode="json")
    merged = {name: value for name, value in (below | change).items() if value is not None}
    after = stored.read(model, merged).model_dump(mode="json")
    for name in before:
        yield ValueChange(field=f"{field}.{name}", before=before[name], after=after[name])
