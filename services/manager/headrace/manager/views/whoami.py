"""View of the caller."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.common.contracts.http.whoami import WhoAmI
from headrace.common.contracts.vocabulary import Role
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.records.users import User
from headrace.manager.views.users import user_view


def whoami_view(user: User, projects: Sequence[tuple[Project, Role]]) -> WhoAmI:
    """Return the caller with the roles in projects."""
    return WhoAmI(user=user_view(user), projects={project.name: role for project, role in projects})
