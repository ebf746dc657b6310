"""Enforces a minimum rate of request bodies (slow-body protection).

A slow upload would hold its connection, and one to a replica, without limit.
"""

from __future__ import annotations

from headrace.appproxy.dataplane.request.context import WorkerContext
from headrace.appproxy.dataplane.request.exchange import Exchange, OpenRequests
from headrace.appproxy.dataplane.request.local_replies import problem_of
from headrace.appproxy.dataplane.request.states import State
from headrace.common.contracts.reasons.proxy import ProxyReason

_LONGEST_S = 2.0
"""A longer gap between two checks is not the callers' fault: the process was held up."""


class MinBodyRate:
    """Ends an upload with 408 if it stays below `min_body_bytes_per_s` on average over `slow_body_grace_s`.

    As Apache's mod_reqtimeout, but for each period anew, so that a fast beginning does not make up for a slow end. Time
    in which the proxy does not read, because of backpressure from the replica, does not count; nor does an upload whose
    response has begun. A caller that sends nothing at all times out earlier (`caller_idle_timeout_s`).
    """

    def __init__(self, context: WorkerContext, requests: OpenRequests) -> None:
        self._context = context
        self._requests = requests
        self._checked_s = context.now()
        self._stretches: dict[Exchange, tuple[float, int]] = {}
        """Of each upload: seconds waited for it in this period, and its size at the period's beginning."""

    def check(self) -> None:
        """Check every upload. Call it about once a second."""
        bounds, now_s = self._context.proxy_limits, self._context.now()
        passed_s, self._checked_s = min(now_s - self._checked_s, _LONGEST_S), now_s
        known, self._stretches = self._stretches, {}
        least, grace_s = bounds.min_body_bytes_per_s, bounds.slow_body_grace_s
        uploads = [(one, one.body) for one in self._requests.open if one.body is not None and _uploads(one)]
        for exchange, body in uploads:
            size = body.size
            seconds, before = known.get(exchange, (0.0, size))
            if exchange in known and not exchange.downstream.paused:
                seconds += passed_s
            if seconds >= grace_s:
                if size - before < least * seconds:
                    text = f"fewer than {least} bytes of the request body came in a second, for {seconds:.0f} s"
                    exchange.answer(problem_of(ProxyReason.BODY_TOO_SLOW, text))
                    continue
                seconds, before = 0.0, size
            self._stretches[exchange] = seconds, before


def _uploads(exchange: Exchange) -> bool:
    """Return True while the body is expected and incomplete."""
    return exchange.state in (State.INSPECT_BODY, State.AWAIT_HEAD) and not exchange.downstream.request_complete
