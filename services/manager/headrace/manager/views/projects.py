"""Views of projects, members and usage."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from headrace.common.contracts.http.projects import MemberView, ProjectView, Usage
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.vocabulary import Role
from headrace.manager.domain.records.projects import Project


def project_view(project: Project, note: Reason | None = None) -> ProjectView:
    """Return a project; `note`: about a change of its quota."""
    return ProjectView(
        id=project.id,
        name=project.name,
        description=project.description,
        quota=project.quota,
        created_at=project.created_at,
        note=note,
    )


def member_view(user: str, role: Role) -> MemberView:
    """Return a user's role."""
    return MemberView(user=user, role=role)


def usage_view(used: Mapping[str, Decimal], limits: Mapping[str, Decimal]) -> Usage:
    """Return usage and limits per slot."""
    return Usage(used=dict(used), limits=dict(limits))
