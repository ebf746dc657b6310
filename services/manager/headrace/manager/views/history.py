"""Views of history events."""

from __future__ import annotations

from headrace.common.contracts.http.audit import AuditEntry
from headrace.common.contracts.http.history import HistoryEntry
from headrace.common.contracts.ids import EventId, KeyId, LoginId, ProjectId, ServiceId
from headrace.manager.domain.records.events import AuditedEvent, Event


def history_entry(event: Event) -> HistoryEntry:
    """Return one history event: who, when, what."""
    return HistoryEntry(
        id=EventId(event.id),
        at=event.at,
        actor=event.actor,
        action=event.action,
        message=event.message,
        details=event.details,
    )


def audit_entry(event: AuditedEvent) -> AuditEntry:
    """Return one entry of the audit log: who, from where, when, what, on what."""
    return AuditEntry(
        id=EventId(event.id),
        at=event.at,
        actor=event.actor,
        source_address=event.source_address,
        action=event.action,
        project_id=ProjectId(event.project_id) if event.project_id else None,
        project=event.project,
        service_id=ServiceId(event.service_id) if event.service_id else None,
        service=event.service,
        message=event.message,
        details=event.details,
        key_id=KeyId(event.key_id) if event.key_id else None,
        key=event.key,
        login_id=LoginId(event.login_id) if event.login_id else None,
        before=event.before,
        after=event.after,
    )
