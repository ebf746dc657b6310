"""Traffic settings of a service: how its requests are spread, queued, bounded and named.

The settings are the parts of the route table (headrace.common.contracts.messages.routes), here closed and with upper bounds.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from headrace.common.contracts.messages.routes import Balance, Limits, ModelName
from headrace.common.contracts.wording import Refused

_DAY_S = 86_400


class BalanceSettings(Balance):
    """Load-balancing settings. A change only changes the named fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class LimitSettings(Limits):
    """Limits of the service at each app-proxy. A change only changes the named fields, and null removes a limit."""

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
