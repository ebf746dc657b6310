"""Views of logins."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.common.contracts.http.logins import CurrentLogin, LoginView
from headrace.common.contracts.vocabulary import Role
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.logins import Login
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.records.users import User
from headrace.manager.views.users import user_view


def login_view(login: Login, actor: Actor) -> LoginView:
    """Return a login without its secret."""
    return LoginView(
        id=login.id,
        method=login.method,
        form=login.form,
        source_address=login.source_address,
        user_agent=login.user_agent,
        key_id=login.key_id,
        created_at=login.created_at,
        last_used_at=login.last_used_at,
        ends_at=login.ends_at,
        current=login.id == actor.login_id,
    )


def current_login(
    actor: Actor, user: User, projects: Sequence[tuple[Project, Role]], login: Login | None, version: str
) -> CurrentLogin:
    """Return who the caller is, and by what."""
    return CurrentLogin(
        user=user_view(user),
        projects={project.name: role for project, role in projects},
        login=login_view(login, actor) if login is not None else None,
        key_id=actor.key_id,
        read_only=actor.read_only,
        version=version,
    )
