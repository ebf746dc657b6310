"""Projects, users, members, API keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.ids import KeyId, ProjectId, Slug, UserId
from headrace.common.contracts.slots import QuotaSlots, ResourceSlots

Role = Literal["owner", "member", "viewer"]
Description = Annotated[str, StringConstraints(max_length=4000)]


class CreateProject(Body):
    """The creator becomes its owner. Only operators create projects."""

    name: Slug
    description: Description = ""
    quota: QuotaSlots | None = None
    """Limit per slot over all live replicas; a slot that is missing is unlimited. One of cuda.device and cuda.shares bounds both
    together; with both, each bounds its own."""


class ProjectView(View):
    """A project as its members see it."""

    id: ProjectId
    name: str
    description: str
    quota: ResourceSlots | None
    created_at: AwareDatetime


class CreateUser(Body):
    """A person or program. Only operators create users."""

    name: Slug
    operator: bool = False


class UserView(View):
    """A user."""

    id: UserId
    name: str
    operator: bool
    created_at: AwareDatetime


class PutMember(Body):
    """Give a user a role in a project (replaces an earlier one)."""

    role: Role


class MemberView(View):
    """A user's role."""

    user: str
    role: Role


class CreateKey(Body):
    """A new API key for a user (operators: any user; others: themselves)."""

    name: Slug = "default"
    expires_in_s: Annotated[int | None, Field(ge=60, le=315_360_000)] = None


class KeyView(View):
    """An API key without its secret."""

    id: KeyId
    name: str
    created_at: AwareDatetime
    expires_at: AwareDatetime | None


class NewKey(KeyView):
    """The only time the secret is shown."""

    key: str


class WhoAmI(View):
    """The caller."""

    user: UserView
    projects: dict[str, Role]
