"""Conversion of request bodies about services into records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from headrace.common.contracts import rollout
from headrace.common.contracts.http.services import CreateService, UpdateService
from headrace.common.contracts.ids import RevisionId, ServiceId, new_uuid
from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.revision import RevisionSpec
from headrace.manager.domain.masking import masked_document
from headrace.manager.domain.records.projects import Project, group_of
from headrace.manager.domain.records.services import Documents, NewService, ServiceChange
from headrace.manager.domain.variants.resolved_spec import Resolution

_DOCUMENTS = ("balance", "limits", "caller_limits", "rollout", "cors")


def new_service(body: CreateService, project: Project, resolution: Resolution) -> NewService:
    """Return the service to create, with new ids."""
    return NewService(
        id=ServiceId(new_uuid()),
        project=project,
        name=body.name,
        description=body.description,
        wanted=body.replicas,
        open_to_public=body.open_to_public,
        resource_group=group_of(body.resource_group, project),
        metadata=body.metadata,
        tags=body.tags,
        drain_grace_s=body.drain_grace_s,
        endpoint_port=body.endpoint_port,
        documents=documents(body),
        revision_id=RevisionId(new_uuid()),
        spec=RevisionSpec.of(body),
        resolution=resolution,
        asked=masked_document(body.model_dump(mode="json")),
    )


def service_change(body: UpdateService) -> ServiceChange:
    """Return the changes of the service's own columns."""
    return ServiceChange(
        description=body.description,
        wanted=body.replicas,
        open_to_public=body.open_to_public,
        metadata=body.metadata,
        tags=body.tags,
        drain_grace_s=body.drain_grace_s,
        endpoint_port=body.endpoint_port,
    )


def check_rollout(body: CreateService | UpdateService, stored: Mapping[str, Any]) -> None:
    """Raise InvalidRequest if the change leaves rollout settings that exclude each other."""
    if "rollout" not in body.model_fields_set:
        return
    after = rollout.merged(stored, _said(body.rollout), reset=body.rollout is None)
    if (wrong := rollout.contradiction(after)) is not None:
        raise InvalidRequest.of(*wrong)


def documents(body: CreateService | UpdateService) -> Documents:
    """Return the changes of the settings that are documents: of a new service, or of an update."""
    given = {name: getattr(body, name) for name in _DOCUMENTS}
    reset = frozenset(name for name, setting in given.items() if setting is None and name in body.model_fields_set)
    return Documents(**{name: _said(setting) for name, setting in given.items()}, models=body.models, reset=reset)


def _said(setting: BaseModel | None) -> dict[str, Any] | None:
    return None if setting is None else setting.model_dump(exclude_unset=True)
