"""Findings: problems of one request, of which the first is raised, or all are gathered.

A request that changes something ends at its first problem; a dry run says all of them. Both run the same checks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from headrace.common.contracts.problems import (
    Conflict,
    InsufficientStorage,
    InvalidDefinition,
    InvalidRequest,
    NotFound,
    Problem,
    QuotaExceeded,
)

_OF_THE_REQUEST = (InvalidRequest, InvalidDefinition, NotFound, Conflict, QuotaExceeded, InsufficientStorage)
"""What is wrong with a request; others (no permission, a part that is away) end a dry run too."""


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
        except _OF_THE_REQUEST as problem:
            if not self._gather:
                raise
            self.found.append(Finding(problem, field))
