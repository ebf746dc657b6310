"""Waits for a state of a resource.

A wait also ends when the state cannot be reached any more, with the server's reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

from headrace.common.contracts.http.services import ServiceDetail
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.client import WaitReason
from headrace.sdk.errors import AnswerLostError, ApiError, UnreachableError, WaitFailedError, WaitTimeoutError
from headrace.sdk.transport import Outage, Transport

T = TypeVar("T")
Until = Literal["healthy", "stopped", "gone"]


def polled(
    read: Callable[[], T],
    *,
    reason: Callable[[T], Reason],
    what: str,
    timeout_s: float,
    every_s: float,
    transport: Transport,
) -> Iterator[T]:
    """Yield the result of `read` every `every_s`; the caller stops iterating. Raises WaitTimeoutError after
    `timeout_s`.

    An unreachable server, or one that responds 5xx, is waited for too: it may be restarting.
    """
    deadline = transport.clock() + timeout_s
    outage = Outage(transport)
    last: Reason | None = None
    while True:
        try:
            seen = read()
        except (UnreachableError, AnswerLostError) as error:
            last = Reason.of(WaitReason.SERVER_UNREACHABLE, str(error))
            outage.seen(error, deadline)
        except ApiError as error:
            if error.status < 500:
                raise
            last = Reason.of(WaitReason.SERVER_FAILING, str(error))
            outage.seen(error, deadline)
        else:
            outage.over()
            last = reason(seen)
            yield seen
        left = deadline - transport.clock()
        if left <= 0:
            raise WaitTimeoutError(f"{what}: not within {timeout_s:g} s; last: {last.text}", reason=last)
        transport.sleep(min(every_s, left))


def reached(seen: ServiceDetail, until: Until) -> bool:
    """Return True if the service is in the awaited state; `healthy`: exactly as many healthy replicas as set.

    Raises WaitFailedError if it cannot get there by itself.
    """
    if until == "stopped":
        return seen.phase == "stopped"
    if until == "gone":
        return False
    if seen.phase in {"failed", "stopped"}:
        raise WaitFailedError(f"{seen.name} is {seen.phase}: {seen.reason.text}", reason=seen.reason)
    if len(seen.replica_list) > seen.replicas:
        return False  # some are still draining or stopping
    return seen.phase == "deployed" and (seen.status == "healthy" or seen.replicas == 0)


def check_rollout(seen: ServiceDetail, revision: int) -> None:
    """Raise WaitFailedError if the rollout of the revision failed, and another one is the current one again."""
    failed = seen.last_failed_rollout
    if failed is not None and failed.revision == revision != seen.revision:
        raise WaitFailedError(
            f"{seen.name}: the rollout of revision {revision} failed: {failed.reason.text}; revision {seen.revision} is the "
            "current one again",
            reason=failed.reason,
        )
