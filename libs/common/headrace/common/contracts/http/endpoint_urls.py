"""Endpoint URLs of a service, as the API tells them."""

from __future__ import annotations

from typing import Annotated, Literal

from headrace.common.contracts.http.page import View
from headrace.common.contracts.reasons import Reason, said_of


class EndpointUrl(View):
    """One base URL of a service."""

    kind: Literal["path", "host", "port"]
    """By path at the app-proxies' shared port, by host name in their domain, or by the service's own port."""
    url: str
    """Base URL: it stays as long as the service has its name, the domain or the port."""
    ready: bool
    """Whether every app-proxy serves the service there; whether replicas answer is the service's status."""
    reason: Annotated[Reason, said_of("endpoint")]
