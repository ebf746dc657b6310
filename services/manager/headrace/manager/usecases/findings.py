"""Findings: problems of one request, of which the first is raised, or all are gathered.

A request that changes something ends at its first problem; a dry run gathers all of them. Both run the same checks. A creation
that ended so is judged once more as a dry run, and its refusal tells all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from headrace.common.contracts.http.resolutions import ResolutionProblem
from headrace.common.contracts.problems import (
    Conflict,
    InsufficientStorage,
    InvalidDefinition,
    InvalidRequest,
    NotFound,
    Problem,
    QuotaExceeded,
    at_most,
)
from headrace.manager.views.resolutions import problem_views

OF_THE_REQUEST = (InvalidRequest, InvalidDefinition, NotFound, Conflict, QuotaExceeded, InsufficientStorage)
"""What is wrong with a request; others (no permission, a part that is away) end a dry run too."""
_IN_DETAIL: Final = 3
"""Problems in the detail of a refusal; `errors` has the others."""


@dataclass(frozen=True)
class Finding:
    """A problem. `field`: the field of the request that it is about, where the problem does not say it."""

    problem: Problem
    field: str = ""


class Findings:
    """Problems of one request, in the order in which they were found."""

    def __init__(self, *, gather: bool = False) -> None:
        self._gather = gather
        self.found: list[Finding] = []

    @property
    def gathers(self) -> bool:
        """Whether this is a dry run, which must change nothing."""
        return self._gather

    def add(self, problem: Problem, field: str = "") -> None:
        """Note the problem. Raises it unless problems are gathered."""
        if not self._gather:
            raise problem
        self.found.append(Finding(problem, field))

    @contextmanager
    def noted(self, field: str = "") -> Iterator[None]:
        """Note what is raised inside, if problems are gathered; what comes after it inside is left out."""
        try:
            yield
        except OF_THE_REQUEST as problem:
            if not self._gather:
                raise
            self.found.append(Finding(problem, field))

    def refuse(self) -> None:
        """Raise the first problem, with all others in its `errors`, if there are any."""
        if self.found:
            first = self.found[0].problem
            complete(first, self)
            raise first


def complete(problem: Problem, findings: Findings) -> None:
    """Add the other problems of its request to a refusal's `errors` and detail. Its type and status stay: it is the first."""
    views: dict[tuple[str, str], ResolutionProblem] = {}
    for finding in (Finding(problem), *findings.found):
        for view in problem_views(finding.problem, finding.field):
            known = views.get((view.type, view.detail))
            if known is None or not known.field:  # the second one may know the field
                views[view.type, view.detail] = view
    if len(views) <= max(1, len(problem.extra.get("errors", ()))):
        return
    problem.extra["errors"] = at_most([_row(view, problem) for view in views.values()])
    details = [view.detail for view in views.values()]
    more = len(details) - _IN_DETAIL
    problem.detail = "; ".join(details[:_IN_DETAIL]) + (f" (and {more} more)" if more > 0 else "")


def _row(view: ResolutionProblem, problem: Problem) -> dict[str, Any]:
    """Return an error row. Those of another type than the refusal's say theirs, and their words."""
    row = view.model_dump(exclude={"status"}, exclude_none=True)
    if view.type == problem.type and "found" in row:
        del row["type"], row["detail"]
    return {name: value for name, value in row.items() if value != ""}
