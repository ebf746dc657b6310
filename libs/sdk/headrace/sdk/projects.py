"""Projects and their members."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.common.contracts.http.projects import (
    CreateProject,
    MemberView,
    ProjectView,
    PutMember,
    UpdateProject,
    Usage,
)
from headrace.common.contracts.vocabulary import Role
from headrace.sdk.transport import Transport, segment


class Projects:
    """Client of `/v1/projects`: projects, members, usage."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, body: CreateProject) -> ProjectView:
        """Create a project."""
        return self._transport.create(ProjectView, "/v1/projects", body)

    def list(self) -> Iterator[ProjectView]:
        """Yield the projects that the caller may see."""
        return self._transport.items(ProjectView, "/v1/projects")

    def get(self, project: str) -> ProjectView:
        """Return one project."""
        return self._transport.one(ProjectView, "GET", _of(project))

    def update(self, project: str, body: UpdateProject, *, if_match: str | None = None) -> ProjectView:
        """Change the fields set in `body`; of the quota only the named slots, None removes a limit."""
        return self._transport.one(ProjectView, "PATCH", _of(project), body=body, if_match=if_match)

    def delete(self, project: str, *, if_match: str | None = None) -> None:
        """Delete a project. ApiError `in-use` while it has services or folders."""
        self._transport.send("DELETE", _of(project), if_match=if_match)

    def usage(self, project: str) -> Usage:
        """Return the project's current usage, per slot."""
        return self._transport.one(Usage, "GET", f"{_of(project)}/usage")

    def members(self, project: str) -> Iterator[MemberView]:
        """Yield the members."""
        return self._transport.items(MemberView, f"{_of(project)}/members")

    def put_member(self, project: str, user: str, role: Role, *, if_match: str | None = None) -> MemberView:
        """Set the role of `user` in the project."""
        path = f"{_of(project)}/members/{segment(user)}"
        return self._transport.one(MemberView, "PUT", path, body=PutMember(role=role), if_match=if_match)

    def remove_member(self, project: str, user: str, *, if_match: str | None = None) -> None:
        """Remove `user` from the project."""
        self._transport.send("DELETE", f"{_of(project)}/members/{segment(user)}", if_match=if_match)


def _of(project: str) -> str:
    return f"/v1/projects/{segment(project)}"
