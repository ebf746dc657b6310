"""Views of resource groups."""

from __future__ import annotations

from headrace.common.contracts.http.resource_groups import ResourceGroupView
from headrace.manager.domain.entity_tags import tag_of_group
from headrace.manager.domain.records.resource_groups import ResourceGroup


def resource_group_view(group: ResourceGroup) -> ResourceGroupView:
    """Return a resource group."""
    return ResourceGroupView(
        name=group.name, created_at=group.created_at, projects=group.projects, etag=tag_of_group(group)
    )
