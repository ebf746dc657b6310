"""Views of projects, members and usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from headrace.common.contracts.http.projects import MemberView, ProjectView, Usage
from headrace.common.contracts.http.projects import UsageHolder as UsageHolderView
from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.vocabulary import Role
from headrace.manager.domain import features, quota
from headrace.manager.domain.entity_tags import tag_of_member, tag_of_project
from headrace.manager.domain.records.projects import Project, UsageHolder
from headrace.manager.domain.storage_usage import StorageUsage


def project_view(project: Project, note: Reason | None = None) -> ProjectView:
    """Return a project; `note`: about a change of its quota."""
    return ProjectView(
        id=project.id,
        name=project.name,
        description=project.description,
        quota=project.quota,
        resource_group=project.resource_group,
        features=features.states(project.features_off),
        created_at=project.created_at,
        note=note,
        etag=tag_of_project(project),
    )


def member_view(project_id: ProjectId, user: str, role: Role) -> MemberView:
    """Return a user's role in a project."""
    return MemberView(user=user, role=role, etag=tag_of_member(project_id, user, role))


def usage_view(used: Mapping[str, Decimal], limits: Mapping[str, Decimal], holders: Sequence[UsageHolder]) -> Usage:
    """Return usage and limits per slot, and who uses it."""
    return Usage(used=dict(used), limits=dict(limits), holders=tuple(map(_holder_view, holders)))


def _holder_view(holder: UsageHolder) -> UsageHolderView:
    stored = StorageUsage(holder.bytes, holder.files)
    used = stored.slots() if holder.kind == "folder" else quota.started(holder.slots, holder.replicas)
    return UsageHolderView(
        kind=holder.kind, id=holder.id, name=holder.name, owner=holder.owner, replicas=holder.replicas, used=used
    )
