"""Projects, users, members, API keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from headrace.common.contracts.http.page import Body, Change, View
from headrace.common.contracts.ids import KeyId, ProjectId, Slug, UserId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.slots import QuotaChange, QuotaSlots, ResourceSlots

Role = Literal["owner", "member", "viewer"]
Description = Annotated[str, StringConstraints(max_length=4000)]


class CreateProject(Body):
    """The creator becomes its owner. Only operators create projects."""

    name: Slug
    description: Description = ""
    quota: QuotaSlots | None = None
    """Limit per slot over all live replicas; a slot that is missing is unlimited. One of cuda.device and cuda.shares bounds both
    together; with both, each bounds its own."""


class UpdateProject(Change):
    """What to change of a project. Its name is part of what callers ask for (`<project>/<service>`), and fixed."""

    description: Description | None = None
    quota: QuotaChange | None = None
    """Of it what is named is changed, and null takes a slot's limit away; null for all of it: unlimited. Only operators change it.
    What runs already stays when a limit is lower; new replicas are refused."""


class ProjectView(View):
    """A project as its members see it."""

    id: ProjectId
    name: str
    description: str
    quota: ResourceSlots | None
    created_at: AwareDatetime
    note: Reason | None = None
    """What is to be said of a change of the quota, in the answer to it: a slot that no machine has."""


class CreateUser(Body):
    """A person or program. Only operators create users."""

    name: Slug
    operator: bool = False


class UpdateUser(Change):
    """What to change of a user. The name is what histories tell, and fixed. Only operators change users."""

    operator: bool | None = None
    """null: no operator. The last operator stays one."""


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
    """A new API key for a user (operators: any user; others: themselves). With a key that ends, one makes keys for oneself that
    end no later."""

    name: Slug = "default"
    expires_in_s: Annotated[int | None, Field(ge=60, le=315_360_000)] = None


class UpdateKey(Change):
    """What to change of an API key; the key itself stays. With a key that ends, one extends keys of one's own, itself too, to
    its end at most."""

    name: Slug | None = None
    """null: default."""
    expires_in_s: Annotated[int | None, Field(ge=60, le=315_360_000)] = None
    """From now on. null: never."""


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
