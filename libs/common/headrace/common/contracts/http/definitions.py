"""Definition files: checks of one, saved or not."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.vocabulary import DefinitionKind


class CheckDefinition(Body):
    """Check a definition file of a folder."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    """Path in the folder; it says which of the two files it is."""
    text: Annotated[str | None, StringConstraints(max_length=262_144)] = None
    """Content that is not saved; without it that of the file."""


class DefinitionError(View):
    """One error in a definition file."""

    path: str
    """Path in its data, as `models[0].service.port`; (file): the whole."""
    line: int | None = None
    """From 1; of what is missing, where it is missed."""
    column: int | None = None
    found: str
    allowed: str


class DefinitionCheck(View):
    """Result of a check."""

    path: str
    kind: DefinitionKind
    valid: bool
    names: tuple[str, ...] = ()
    """Names of its models, or the runtime variants that it has sections of."""
    problems: tuple[DefinitionError, ...] = ()
    """At most 20; the last one then counts the others."""
