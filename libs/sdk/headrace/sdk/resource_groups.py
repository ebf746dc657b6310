"""Resource groups: named sets of machines."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.common.contracts.http.resource_groups import CreateResourceGroup, ResourceGroupView
from headrace.sdk.transport import Transport, segment

_ALL = "/v1/resource-groups"


class ResourceGroups:
    """Client of `/v1/resource-groups`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str) -> ResourceGroupView:
        """Create a group (operators)."""
        return self._transport.create(ResourceGroupView, _ALL, CreateResourceGroup(name=name))

    def list(self) -> Iterator[ResourceGroupView]:
        """Yield the groups, by name."""
        return self._transport.items(ResourceGroupView, _ALL)

    def delete(self, name: str) -> None:
        """Delete a group (operators). ApiError `in-use` while machines or services are in it."""
        self._transport.send("DELETE", f"{_ALL}/{segment(name)}")
