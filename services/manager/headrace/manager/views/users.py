"""Views of users."""

from __future__ import annotations

from headrace.common.contracts.http.users import UserView
from headrace.manager.domain.entity_tags import tag_of_user
from headrace.manager.domain.records.users import User


def user_view(user: User) -> UserView:
    """Return a user."""
    return UserView(
        id=user.id,
        name=user.name,
        operator=user.operator,
        has_password=user.has_password,
        disabled=user.disabled_at is not None,
        disabled_at=user.disabled_at,
        created_at=user.created_at,
        etag=tag_of_user(user),
    )
