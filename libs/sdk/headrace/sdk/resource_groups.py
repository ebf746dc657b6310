"""Resource groups: named sets of machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.common.contracts.http.resource_groups import (
    CreateResourceGroup,
    ResourceGroupView,
    UpdateResourceGroup,
)
from headrace.sdk.transport import Transport, segment

_ALL = "/v1/resource-groups"


class ResourceGroups:
    """Client of `/v1/resource-groups`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, *, projects: Sequence[str] | None = None) -> ResourceGroupView:
        """Create a group (operators), for all projects or for these only."""
        body = CreateResourceGroup(name=name)
        if projects is not None:
            body = CreateResourceGroup(name=name, projects=tuple(projects))
        return self._transport.create(ResourceGroupView, _ALL, body)

    def update(self, name: str, body: UpdateResourceGroup, *, if_match: str | None = None) -> ResourceGroupView:
        """Set the projects that may use a group (operators)."""
        return self._transport.one(ResourceGroupView, "PATCH", f"{_ALL}/{segment(name)}", body=body, if_match=if_match)

    def list(self) -> Iterator[ResourceGroupView]:
        """Yield the groups, by name."""
        return self._transport.items(ResourceGroupView, _ALL)

    def delete(self, name: str, *, if_match: str | None = None) -> None:
        """Delete a group (operators). ApiError `in-use` while machines or services are in it."""
        self._transport.send("DELETE", f"{_ALL}/{segment(name)}", if_match=if_match)
