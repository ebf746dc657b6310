"""App-proxy → managers: traffic of services, counted in windows of ten seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, Field, NonNegativeInt

from headrace.common.contracts.ids import ProxyId, RevisionId, ServiceId, SessionId
from headrace.common.contracts.messages.envelope import Message, Part

K = TypeVar("K")
WINDOW_S: Final = 10
"""Length of a window. Each begins at a multiple of it, so that those of several app-proxies can be added."""
MAX_SERVICES: Final = 500
"""Services of one message; of more there are several."""
MAX_REPLICAS: Final = 100
"""Replicas that a service names in a window; further ones are summed by revision."""
MAX_REASONS: Final = 64
LATENCY_BOUNDS_S: Final[tuple[float, ...]] = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    120.0,
    600.0,
)
"""Upper bounds of the buckets of latencies. History is kept by them: other bounds need other fields."""
Count = Annotated[int, Field(ge=0, le=2**53)]
Buckets = Annotated[
    dict[Annotated[int, Field(ge=0, le=len(LATENCY_BOUNDS_S))], Count], Field(max_length=len(LATENCY_BOUNDS_S) + 1)
]
"""Histogram: number of values by the index of their bound; the last index is for those beyond. Empty buckets are left out."""
Level = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def added(one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    """Return the sums of two sets of counts."""
    return {key: one.get(key, 0) + other.get(key, 0) for key in (*one, *(key for key in other if key not in one))}


class ReplicaTraffic(Part):
    """Requests of one replica that ended within a window."""

    revision_id: RevisionId
    session_id: SessionId | None = None
    """None: the sum of the replicas beyond MAX_REPLICAS."""
    succeeded: Count = 0
    """Answered with a status below 400."""
    client_errors: Count = 0
    """Answered with 4xx."""
    server_errors: Count = 0
    """Answered with 5xx."""
    interrupted: Count = 0
    """Of those that were answered with a status below 500, those whose response was interrupted afterwards."""
    left: Count = 0
    """Callers who left before an answer."""
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    latencies: Buckets = {}
    """Time to the end of the response, of those that ended, without WebSockets."""
    first_bytes: Buckets = {}
    """Time to the first byte of the response's content."""
    in_flight: Level = 0.0
    """Open requests: mean of the window."""

    def plus(self, other: ReplicaTraffic) -> ReplicaTraffic:
        """Return the sum with another replica's of the same revision, or with the same replica's of another app-proxy."""
        return ReplicaTraffic(
            revision_id=self.revision_id,
            session_id=self.session_id if self.session_id == other.session_id else None,
            succeeded=self.succeeded + other.succeeded,
            client_errors=self.client_errors + other.client_errors,
            server_errors=self.server_errors + other.server_errors,
            interrupted=self.interrupted + other.interrupted,
            left=self.left + other.left,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            latencies=added(self.latencies, other.latencies),
            first_bytes=added(self.first_bytes, other.first_bytes),
            in_flight=self.in_flight + other.in_flight,
        )

    def unnamed(self) -> ReplicaTraffic:
        """Return it as traffic of its revision, of no replica by name."""
        return self.model_copy(update={"session_id": None})


class ServiceTraffic(Part):
    """Traffic of one service within a window; services without any are left out."""

    service_id: ServiceId
    refused: Annotated[dict[str, Count], Field(max_length=MAX_REASONS)] = {}
    """Requests refused before a replica got them, by reason."""
    queued: Level = 0.0
    """Requests in the queue: mean of the window."""
    replicas: Annotated[tuple[ReplicaTraffic, ...], Field(max_length=2 * MAX_REPLICAS)] = ()


class TrafficWindow(Message):
    """App-proxy → any manager: traffic of a window that is over. Repeated until a manager has answered.

    Each process that counts has windows of its own (`writer`); one that is stored again replaces itself. A window without
    traffic is sent too: it says that there was none.
    """

    subject: ClassVar = "rpc.manager.traffic.{proxy_id}"
    v: Literal[1] = 1
    proxy_id: ProxyId
    writer: UUID
    at: AwareDatetime
    """Beginning of the window."""
    services: Annotated[tuple[ServiceTraffic, ...], Field(max_length=MAX_SERVICES)] = ()


class TrafficStored(Message):
    """Reply to TrafficWindow, after its transaction: it need not be sent again."""

    subject: ClassVar = "_reply"
    v: Literal[1] = 1
    stored: NonNegativeInt = 0
    """Services that were stored."""
