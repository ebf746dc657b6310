"""Search over everything that the caller may see."""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.http.page import View
from headrace.common.contracts.vocabulary import FoundKind


class SearchHit(View):
    """One thing that was found."""

    kind: FoundKind
    id: UUID | str
    """A machine's is its name."""
    name: str
    project: str | None = None
    """Name of the project of a service or folder."""
    description: str = ""


class SearchResults(View):
    """What was found: by kind, and in each those first whose name is the text, then those whose name begins with it."""

    items: tuple[SearchHit, ...]
    more: tuple[FoundKind, ...] = ()
    """Kinds of which more were found than `limit`."""
