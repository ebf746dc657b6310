"""Views of secrets, which never have their values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from headrace.common.contracts.http.secrets import SecretDetail, SecretVersionView, SecretView
from headrace.manager.domain.entity_tags import tag_of_secret
from headrace.manager.domain.records.secrets import Secret, SecretUser, SecretVersion

_NAMED: Final = 100


def secret_view(secret: Secret) -> SecretView:
    """Return a secret without its value."""
    return SecretView(
        id=secret.id,
        name=secret.name,
        version=secret.version,
        created_by=secret.created_by,
        created_at=secret.created_at,
        updated_by=secret.updated_by,
        updated_at=secret.updated_at,
        etag=tag_of_secret(secret),
    )


def secret_detail(secret: Secret, versions: Sequence[SecretVersion], users: Sequence[SecretUser]) -> SecretDetail:
    """Return a secret with its versions, and who uses them."""
    services, trial_runs = defaultdict[int, list[str]](list), defaultdict[int, int](int)
    pinned = {(user.version, user.service) for user in users if user.pinned}
    for user in users:
        if user.service is None:
            trial_runs[user.version] += 1
        else:
            services[user.version].append(user.service)
    shown = tuple(
        SecretVersionView(
            version=one.version,
            created_by=one.created_by,
            created_at=one.created_at,
            services=(named := tuple(services[one.version][:_NAMED])),
            pinned=tuple(service for service in named if (one.version, service) in pinned),
            trial_runs=trial_runs[one.version],
        )
        for one in versions
    )
    return SecretDetail(**dict(secret_view(secret)), versions=shown)
