"""How a new revision takes the place of the one before, as it is stored with a service.

REST settings (closed) and the services loop share it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from headrace.common.contracts.wording import Refused

MAX_COUNT: Final = 10_000
MAX_STEPS: Final = 20
DAY_S: Final = 86_400
_PERCENT: Final = re.compile(r"(0|[1-9][0-9]?|100)%")
_ALLOWED: Final = f"a whole number from 0 to {MAX_COUNT}, or a percentage of the wanted replicas as a text, such as 25%"


def _share(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT:
        return value
    if isinstance(value, str) and _PERCENT.fullmatch(value):
        return value
    raise Refused(value, _ALLOWED)


def _share_of_step(value: object) -> object:
    found = _share(value)
    if found in {0, "0%", "100%"}:
        raise Refused(value, f"a whole number from 1 to {MAX_COUNT}, or a percentage from 1% to 99%")
    return found


def _schema(least: int, percent: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": least, "maximum": MAX_COUNT},
                {"type": "string", "pattern": percent},
            ]
        }
    )


Share = Annotated[int | str, BeforeValidator(_share), _schema(0, "^(0|[1-9][0-9]?|100)%$")]
"""Number of replicas, or a percentage of the wanted number."""
StepShare = Annotated[int | str, BeforeValidator(_share_of_step), _schema(1, "^[1-9][0-9]?%$")]


RolloutPhase = Literal["complete", "progressing", "waiting", "paused", "failed"]
"""State of a rollout: nothing to do, on its way, held by a step, held by a user, failed."""


class CanaryStep(BaseModel):
    """Step of a canary rollout: so many replicas of the new revision, for so long."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    replicas: StepShare
    """Replicas of the new revision, as a number or as a percentage of the wanted number, rounded up."""
    pause_s: Annotated[float | None, Field(ge=0, le=30 * DAY_S)] = None
    """How long as many are ready before the next step; null: until the rollout is promoted."""


class Rollout(BaseModel):
    """Rollout strategy, and the action after a failed rollout."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    strategy: Literal["rolling", "canary", "blue-green"] = "rolling"
    """rolling: replica by replica. canary: in `steps`, then as rolling. blue-green: all new replicas start beside the
    old ones, without requests; once all are ready, they take all requests at once."""
    max_surge: Share = "25%"
    """Replicas above the wanted number that a rollout may start; a percentage is rounded up. 0: an old one is taken out
    of service before its successor starts. blue-green doubles the replicas whatever it says."""
    max_unavailable: Share = 1
    """Replicas that a rollout may take out of service before others serve; a percentage is rounded down. Only used where
    `max_surge` is 0, or a new replica fits on no machine otherwise, for example because the service itself holds all
    GPUs."""
    min_ready_s: Annotated[float, Field(ge=0, le=3600)] = 0
    """How long a new replica has to be healthy before an old one leaves for it; one that ends before is a failed start."""
    progress_deadline_s: Annotated[float, Field(ge=10, le=7 * DAY_S)] = 1800
    """A rollout fails when no further replica becomes ready for so long. The time in which a container runs and its health
    check has not decided does not count, nor that in which a rollout is paused or waits to be promoted."""
    on_failure: Literal["keep", "roll-back"] = "roll-back"
    """roll-back: the revision that served automatically becomes the current one again. keep: it goes on serving, and the
    service reports the failed rollout."""
    steps: Annotated[tuple[CanaryStep, ...], Field(max_length=MAX_STEPS)] = ()
    """Steps of a canary rollout."""
    auto_promote: bool = True
    """Whether a blue-green rollout switches by itself once all new replicas are ready; else it waits to be promoted."""


def contradiction(rollout: Rollout) -> tuple[str, object, str] | None:
    """Return (field, found, allowed) of settings that exclude each other, whether given together or one after the other."""
    if rollout.strategy == "canary" and not rollout.steps:
        return "rollout.steps", "none, with strategy canary", f'1 to {MAX_STEPS} steps, such as {{"replicas": "25%"}}'
    if rollout.strategy != "blue-green" and is_none(rollout.max_surge) and is_none(rollout.max_unavailable):
        allowed = "above 0 where max_surge is 0: nothing could be replaced otherwise"
        return "rollout.max_unavailable", rollout.max_unavailable, allowed
    if rollout.min_ready_s >= rollout.progress_deadline_s:
        allowed = f"more than min_ready_s, which is {rollout.min_ready_s:g}"
        return "rollout.progress_deadline_s", rollout.progress_deadline_s, allowed
    return None


def is_none(share: int | str) -> bool:
    """Return whether it is 0 or 0%."""
    return share in {0, "0%"}


def replicas_of(share: int | str, wanted: int, *, up: bool) -> int:
    """Return a share as a number of replicas; a percentage is rounded up or down."""
    if isinstance(share, int):
        return share
    of_hundred = int(share.removesuffix("%")) * wanted
    return -(-of_hundred // 100) if up else of_hundred // 100


def merged(stored: Mapping[str, Any], given: Mapping[str, Any] | None, *, reset: bool) -> Rollout:
    """Return the settings after a change, which only changes the given fields. Raises ValueError for stored ones that this
    version cannot read.
    """
    return Rollout.model_validate({**({} if reset else stored), **(given or {})})
