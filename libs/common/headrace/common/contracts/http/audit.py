"""The audit log: every change in the installation."""

from __future__ import annotations

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import View
from headrace.common.contracts.ids import EventId, KeyId, LoginId, ProjectId, ServiceId


class AuditEntry(View):
    """One change: who, by which key, from where, when, what, on what, why, and the states before and after it."""

    id: EventId
    at: AwareDatetime
    actor: str
    """Name of the user, or the component that made the change by itself."""
    source_address: str
    """Address of the client; empty where no client caused it."""
    action: str
    """`noun.verb-in-the-past`, for example `agent.cordoned`."""
    project_id: ProjectId | None = None
    project: str | None = None
    """Its last name; null where there was none, or nothing is left of it."""
    service_id: ServiceId | None = None
    service: str | None = None
    """Its last name; null where there was none, or nothing is left of it."""
    message: str
    """Why, as who made it says (field `message` or `reason` of the request, else header `X-Headrace-Message`)."""
    details: dict[str, object]
    key_id: KeyId | None = None
    """API key by which it was done, directly or by a login that came from it."""
    key: str | None = None
    """Its name; null where there was no key, or it is gone."""
    login_id: LoginId | None = None
    """Login by which it was done."""
    before: dict[str, object] | None = None
    """What was changed, as it was before: what differs from `after`, or all of it where there is no `after`. No secrets;
    at most 8 KiB, long texts are cut. Null: it was not there, or a component made the change."""
    after: dict[str, object] | None = None
    """The same after the change; null: it is gone, or a component made the change."""
