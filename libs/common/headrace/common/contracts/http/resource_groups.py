"""Resource groups: named sets of machines, on which services are placed."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AwareDatetime, Field, StringConstraints

from headrace.common.contracts.http.page import Body, Change, Changeable
from headrace.common.contracts.ids import Slug

MAX_PROJECTS: Final = 100
"""Projects that a group may be limited to."""
Projects = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=64)], ...],
    Field(min_length=1, max_length=MAX_PROJECTS),
]
"""Names or ids of projects."""


class CreateResourceGroup(Body):
    """A new resource group, which machines join with a join token that names it."""

    name: Slug
    projects: Projects | None = None
    """Projects that may use it; null: all."""


class UpdateResourceGroup(Change):
    """Changes of a resource group. What runs there goes on; what waits, and what starts later, is placed by the new list."""

    projects: Projects | None = None
    """Projects that may use it, replacing all earlier ones; null: all."""


class ResourceGroupView(Changeable):
    """A resource group."""

    name: str
    created_at: AwareDatetime
    projects: tuple[str, ...] | None = None
    """Names of the projects that may use it, as far as the caller sees them; null: all may."""
