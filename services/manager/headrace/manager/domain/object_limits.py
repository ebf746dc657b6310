"""Object count limits: how many objects of a kind a project, a service or a user may have.

They bound what one tenant can cost the others; amounts of resources are bounded by quotas.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.common.contracts.problems import Conflict, row


@dataclass(frozen=True)
class ObjectLimits:
    """Object count limits of an installation, by kind. The settings have the same names."""

    services_per_project: int = 2000
    folders_per_project: int = 1000
    shares_per_folder: int = 100
    """Projects that it is shared with, and open invitations; as many open invitations of a user."""
    uploads_per_project: int = 1000
    """That are open."""
    storage_bytes_per_project: int = 4 * 2**40
    """Of its folders, where its quota does not say another number. So with the next one."""
    stored_files_per_project: int = 1_000_000
    secrets_per_project: int = 200
    resource_presets_per_project: int = 100
    webhooks_per_project: int = 20
    """Of its own; as many for all projects."""
    validations_per_project: int = 20
    """That have not ended."""
    members_per_project: int = 1000
    revisions_per_service: int = 1000
    """Further ones push out the oldest that nothing uses."""
    tokens_per_service: int = 10_000
    """That have not expired: the revoked ones among them stand in its route table."""
    tokens_per_project: int = 500
    """They stand in the route table of each of its services."""
    clients_per_service: int = 1000
    """All of them stand in its route table."""
    rules_per_service: int = 50
    keys_per_user: int = 100


DEFAULT_LIMITS = ObjectLimits()


def check(whose: str, what: str, there: int, most: int) -> None:
    """Raise Conflict when one more of `what` would exceed the limit `most`."""
    if there >= most:
        found = f"{there} {what}"
        allowed = f"at most {most}"
        raise Conflict(f"{whose}: found {found}; allowed: {allowed}", **row(what, found, allowed))
