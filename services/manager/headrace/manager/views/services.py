"""Views of services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from headrace.common.contracts.http.endpoint_urls import EndpointUrl
from headrace.common.contracts.http.services import ServiceDetail, ServiceView
from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.reasons import Reason
from headrace.manager.domain.endpoint_urls import endpoint_urls
from headrace.manager.domain.entity_tags import tag_of_service
from headrace.manager.domain.lifecycle.status import Reachability, StatusOfService, status_of
from headrace.manager.domain.model_import import Import
from headrace.manager.domain.records.replicas import End, Replica, StartError
from headrace.manager.domain.records.rollouts import FailedRollout
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.views.model_imports import model_import_view
from headrace.manager.views.replicas import end_view, replica_view, start_error_view
from headrace.manager.views.revisions import effective_view
from headrace.manager.views.rollouts import failed_view

_OPENAI = frozenset({"vllm", "sglang", "nim", "huggingface-tgi", "llama-cpp"})


def service_view(facts: ServiceFacts, state: StatusOfService, reach: Reachability, *, proxy_url: str) -> ServiceView:
    """Return the service without its replicas. `proxy_url`: base URL of the app-proxy for callers."""
    return ServiceView(**_fields(facts, state, reach, proxy_url))


def service_detail(
    facts: ServiceFacts,
    reach: Reachability,
    now: datetime,
    *,
    proxy_url: str,
    replicas: Sequence[Replica] = (),
    errors: Sequence[StartError] = (),
    ends: Sequence[End] = (),
    last_failed: FailedRollout | None = None,
    folders: Mapping[FolderId, str],
    model_import: Import | None = None,
    note: Reason | None = None,
) -> ServiceDetail:
    """Return the service with its replicas, failed starts and ends in operation. `folders`: names of mounted folders."""
    state = status_of(facts, replicas, reach, now)
    return ServiceDetail(
        **_fields(facts, state, reach, proxy_url),
        effective=effective_view(facts.resolved, folders, facts.metadata),
        replica_list=tuple(replica_view(replica) for replica in replicas),
        errors=tuple(start_error_view(error) for error in errors),
        next_retry_at=_ahead(facts.service.next_start_at, now),
        ends=tuple(end_view(end) for end in ends),
        ends_in_a_row=facts.service.ends,
        next_restart_at=_ahead(facts.service.next_restart_at, now),
        last_failed_rollout=failed_view(last_failed),
        note=note,
        model_import=model_import_view(model_import) if model_import is not None else None,
    )


def _fields(facts: ServiceFacts, state: StatusOfService, reach: Reachability, proxy_url: str) -> dict[str, Any]:
    service, resolved = facts.service, facts.resolved
    return {
        "id": service.id,
        "name": service.name,
        "project_id": service.project_id,
        "project": facts.project,
        "description": service.description,
        "status": state.status,
        "phase": state.phase,
        "reason": state.reason,
        "replicas": service.wanted,
        "healthy_replicas": state.healthy_replicas,
        "open_to_public": service.open_to_public,
        "endpoint": _endpoint(proxy_url, service.name),
        "fleet_endpoint": _endpoint(proxy_url, "v1"),
        "urls": tuple(
            EndpointUrl(kind=one.kind, url=one.url, ready=one.ready, reason=one.reason)
            for one in endpoint_urls(proxy_url, service.name, service.endpoint_port, reach)
        ),
        "balance": service.balance,
        "limits": service.limits,
        "caller_limits": service.caller_limits,
        "models": service.models,
        "cors": service.cors,
        "example": _example(facts, proxy_url),
        "resource_group": service.resource_group,
        "revision": facts.revision,
        "served_revision": facts.served,
        "rollout": service.rollout,
        "runtime": resolved.runtime,
        "image": resolved.image,
        "folder_id": resolved.folder_id,
        "slots": resolved.slots,
        "metadata": service.metadata,
        "tags": service.tags,
        "drain_grace_s": service.drain_grace_s,
        "endpoint_port": service.endpoint_port,
        "created_by": facts.creator,
        "created_at": service.created_at,
        "updated_at": service.updated_at,
        "etag": tag_of_service(facts),
    }


def _ahead(at: datetime | None, now: datetime) -> datetime | None:
    return at if at is not None and at > now else None


def _endpoint(proxy_url: str, name: str) -> str:
    return f"{proxy_url}/{name}"


def _example(facts: ServiceFacts, proxy_url: str) -> str:
    """Return a curl command that works as it stands, once TOKEN holds a token where one is needed."""
    resolved = facts.resolved
    checked = resolved.health_check.path if resolved.health_check else "/"
    path = "/v1/models" if resolved.runtime in _OPENAI else checked
    token = "" if facts.service.open_to_public else '-H "Authorization: Bearer $TOKEN" '
    return f"curl {token}{_endpoint(proxy_url, facts.service.name)}{path}"
