"""Views of replicas, their ends and failed starts."""

from __future__ import annotations

from headrace.common.contracts import stored
from headrace.common.contracts.http.replicas import ReplicaEnd, ReplicaView, RouteError, TransferView
from headrace.common.contracts.reasons import Reason
from headrace.manager.domain.lifecycle.signals import signal_of
from headrace.manager.domain.records.replicas import End, Replica, StartError


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
        placed_at=replica.placed_at,
        started_at=replica.started_at,
        healthy_at=replica.healthy_at,
        ended_at=replica.ended_at,
        exit_code=replica.exit_code,
        failed_checks=replica.failures,
        replace_asked_at=replica.replace_asked_at,
        transfer=stored.read(TransferView, replica.transfer) if replica.transfer is not None else None,
    )


def end_view(end: End) -> ReplicaEnd:
    """Return the end of a replica in operation."""
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


def start_error_view(error: StartError) -> RouteError:
    """Return a failed start."""
    return RouteError(
        at=error.at, session_id=error.session_id, reason=Reason.read(error.reason_code, error.reason_text)
    )
