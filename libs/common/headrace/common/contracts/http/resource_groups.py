"""Resource groups: named sets of machines, on which services are placed."""

from __future__ import annotations

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.ids import Slug


class CreateResourceGroup(Body):
    """A new resource group, which machines join with a join token that names it."""

    name: Slug


class ResourceGroupView(View):
    """A resource group."""

    name: str
    created_at: AwareDatetime
