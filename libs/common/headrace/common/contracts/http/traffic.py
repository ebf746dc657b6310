"""How a service's requests are spread, queued, bounded and named; and what its drains cost callers.

The settings are the parts of the route table (headrace.common.contracts.messages.routes), here closed and with upper bounds.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, NonNegativeInt

from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.ids import ProxyId, SessionId
from headrace.common.contracts.messages.routes import Balance, Limits, ModelName
from headrace.common.contracts.reasons import Reason, said_of
from headrace.common.contracts.wording import Refused

_DAY_S = 86_400
MOST_WEIGHT = 10_000


class BalanceSettings(Balance):
    """How requests are spread over replicas. In a change what is named is changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class LimitSettings(Limits):
    """Bounds of the service at each app-proxy. In a change what is named is changed, and null takes a limit away."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
    max_in_flight_per_replica: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    max_queued: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    queue_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    max_body_bytes: Annotated[int | None, Field(ge=1, le=1 << 40)] = None
    first_byte_timeout_s: Annotated[float, Field(gt=0, le=_DAY_S)] = 600.0
    idle_timeout_s: Annotated[float, Field(gt=0, le=_DAY_S)] = 300.0


def _once(models: tuple[str, ...]) -> tuple[str, ...]:
    if twice := sorted({model for model in models if models.count(model) > 1}):
        raise Refused(f"{', '.join(twice[:5])} twice", "each name once")
    return models


Models = Annotated[tuple[ModelName, ...], Field(max_length=100), AfterValidator(_once)]
"""Names of models and adapters beside the service's own name, under which the fleet's base URL finds it."""


class PutWeight(Body):
    """A replica's share of new requests against the others': 100 is usual, 0 takes it out of turn."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
    weight: Annotated[int, Field(ge=0, le=MOST_WEIGHT)]


class Counts(View):
    """What became of the requests that were open when replicas began to leave. Counts only grow."""

    started: NonNegativeInt = 0
    """Open when the drain began."""
    finished: NonNegativeInt = 0
    """Answered whole, or left by their callers."""
    retried: NonNegativeInt = 0
    """Moved to another replica before a byte of an answer."""
    failed: NonNegativeInt = 0
    """Ended in an error that was the replica's doing."""
    cut: NonNegativeInt = 0
    """Still open at the end of the grace: told so, and cut."""
    slowest_s: Annotated[float, Field(ge=0)] = 0.0
    """Longest duration of those that ended, from the request's head, in seconds."""


class ReceiptView(Counts):
    """The receipt of one replica that left, summed over app-proxies."""

    replica: SessionId
    revision: int
    """What it ran."""
    replaced_by: int | None
    """Revision whose rollout it made way for; None where it left for another reason."""
    reason: Annotated[Reason, said_of("session", "kernel")]
    began_at: AwareDatetime
    ended_at: AwareDatetime | None
    """When it took no more requests at all; None while it drains."""
    proxies: tuple[ProxyId, ...]
    """App-proxies that told their part."""
    waiting_for: tuple[ProxyId, ...]
    """App-proxies that were heard of, and whose last word is missing: they have requests open, or fell silent."""
    complete: bool
    """Whether the drain is over, and every app-proxy that was heard of has told that no request is open."""


class RolloutReceipt(Counts):
    """What the change to one revision cost callers: the sum over the replicas that it replaced."""

    revision: int
    replicas: NonNegativeInt
    """That were replaced and drained so far."""
    draining: NonNegativeInt
    """Of those: how many still drain."""
    began_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    """When the last of them had left; None before."""
    waiting_for: tuple[ProxyId, ...]
    complete: bool
    """Whether all of the receipts are complete, and no replica of an earlier revision is left."""
