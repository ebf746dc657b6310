"""Services and replicas as callers see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from headrace.common.contracts import stored
from headrace.common.contracts.http.revisions import EffectiveSpec
from headrace.common.contracts.http.rollouts import ReplicaEnd
from headrace.common.contracts.http.services import ReplicaView, RouteError, ServiceDetail, ServiceView
from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.reasons import Reason
from headrace.manager.domain.lifecycle.signals import signal_of
from headrace.manager.domain.lifecycle.status import (
    StatusOfService,
    behind,
    service_status,
    with_app_proxies,
    with_own_port,
    with_tables,
)
from headrace.manager.domain.records.replicas import End, Replica, StartError
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec
from headrace.manager.usecases.ports import AppProxies

_OPENAI = frozenset({"vllm", "sglang", "nim", "huggingface-tgi", "llama-cpp"})


class Views:
    """Makes views. `proxy_url`: where callers reach the app-proxy."""

    def __init__(self, proxy_url: str, proxies: AppProxies) -> None:
        self._proxy_url = proxy_url.rstrip("/")
        self._proxies = proxies

    def endpoint(self, name: str) -> str:
        """Return the service's permanent base URL."""
        return f"{self._proxy_url}/{name}"

    def service(self, facts: ServiceFacts, replicas: Sequence[Replica], now: datetime) -> ServiceView:
        """Return the service without its replicas."""
        return ServiceView(**self._fields(facts, replicas, now, ""))

    def detail(
        self,
        facts: ServiceFacts,
        replicas: Sequence[Replica],
        errors: Sequence[StartError],
        ends: Sequence[End],
        folders: Mapping[FolderId, str],
        now: datetime,
    ) -> ServiceDetail:
        """Return the service with its replicas, failed starts and ends in operation. `folders`: names of those that it mounts."""
        next_start, next_restart = facts.service.next_start_at, facts.service.next_restart_at
        return ServiceDetail(
            **self._fields(facts, replicas, now, errors[0].reason_text if errors else ""),
            effective=effective_view(facts.resolved, folders),
            replica_list=tuple(replica_view(replica) for replica in replicas),
            errors=tuple(
                RouteError(at=e.at, session_id=e.session_id, reason=Reason.read(e.reason_code, e.reason_text))
                for e in errors
            ),
            next_retry_at=next_start if next_start is not None and next_start > now else None,
            ends=tuple(_end(end) for end in ends),
            ends_in_a_row=facts.service.ends,
            next_restart_at=next_restart if next_restart is not None and next_restart > now else None,
        )

    def _fields(self, facts: ServiceFacts, replicas: Sequence[Replica], now: datetime, error: str) -> dict[str, Any]:
        service, resolved = facts.service, facts.resolved
        state = service_status(service, replicas, now, last_error=error, revision=facts.revision, served=facts.served)
        if service.goal == "running":
            state = self._to_callers(state, facts, now)
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
            "endpoint": self.endpoint(service.name),
            "fleet_endpoint": self.endpoint("v1"),
            "balance": service.balance,
            "limits": service.limits,
            "caller_limits": service.caller_limits,
            "models": service.models,
            "cors": service.cors,
            "example": self._example(facts),
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
        }

    def _to_callers(self, state: StatusOfService, facts: ServiceFacts, now: datetime) -> StatusOfService:
        state = with_tables(state, facts.routes_problem, facts.rules_problem)
        port, has = facts.service.endpoint_port, self._proxies.generations(facts.service.id)
        if port is not None:
            state = with_own_port(state, port, self._proxies.unopened(port))
        late = behind(has, facts.published, facts.published_at, now)
        return with_app_proxies(state, self._proxies.presence(), late)

    def _example(self, facts: ServiceFacts) -> str:
        """Return a curl line that works as it stands, once TOKEN holds a token where one is needed."""
        resolved = facts.resolved
        checked = resolved.health_check.path if resolved.health_check else "/"
        path = "/v1/models" if resolved.runtime in _OPENAI else checked
        token = "" if facts.service.open_to_public else '-H "Authorization: Bearer $TOKEN" '
        return f"curl {token}{self.endpoint(facts.service.name)}{path}"


def effective_view(resolved: ResolvedSpec, folders: Mapping[FolderId, str]) -> EffectiveSpec:
    """Return what replicas are started with; `folders`: names of those that are mounted."""
    mounts = [{**mount.model_dump(), "folder": folders.get(mount.folder_id)} for mount in resolved.mounts]
    return stored.read(EffectiveSpec, {**dict(resolved), "mounts": mounts})


def replica_view(replica: Replica) -> ReplicaView:
    """Return one replica."""
    address = f"{replica.host}:{replica.port}" if replica.host and replica.port else None
    return ReplicaView(
        id=replica.id,
        kernel_id=replica.kernel_id,
        revision=replica.revision,
        status=replica.status,
        kernel_state=replica.kernel_state,
        health=replica.health,
        reason=Reason.read(replica.reason_code, replica.reason_text),
        agent_id=replica.agent_id,
        address=address,
        weight=replica.weight,
        created_at=replica.created_at,
    )


def _end(end: End) -> ReplicaEnd:
    return ReplicaEnd(
        at=end.at,
        session_id=end.session_id,
        revision=end.revision,
        agent_id=end.agent_id,
        started_at=end.started_at,
        reason=Reason.read(end.reason_code, end.reason_text),
        exit_code=end.exit_code,
        signal=signal_of(end.exit_code),
    )
