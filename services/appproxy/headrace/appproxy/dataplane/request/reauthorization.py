"""Reauthorises open requests after a table that revokes access, and when a token expires; cuts those that fail."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

import structlog

from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.request.context import WorkerContext
from headrace.appproxy.dataplane.request.exchange import Exchange, OpenRequests
from headrace.appproxy.dataplane.request.states import State
from headrace.common.contracts.problems import Problem
from headrace.common.contracts.reasons.proxy import ProxyReason

log = structlog.get_logger(__name__)
MAX_PER_SWEEP = 1000
"""Requests reauthorised per sweep, so that others are not held up when thousands lose access at once."""


class Reauthorizer:
    """Reauthorises open requests after a table revokes access, and when a token in use expires."""

    def __init__(self, context: WorkerContext, requests: OpenRequests) -> None:
        self._context = context
        self._requests = requests
        self._due: OrderedDict[Exchange, None] = OrderedDict()
        """Exchanges due, each at most once: tables may revoke access faster than all open requests are checked."""

    def rights_revoked(self, backend: Backend) -> None:
        """Mark the service: its table revoked access, so the next sweeps reauthorise its open requests."""
        self._due.update((one, None) for one in self._requests.open if one.found and one.backend is backend)

    def sweep(self) -> None:
        """Cut requests of callers without access, at most MAX_PER_SWEEP of those due. Call it several times a second."""
        now_s: float = self._context.epoch()
        self._find_expired(now_s)
        for _ in range(min(len(self._due), MAX_PER_SWEEP)):
            self._judge(self._due.popitem(last=False)[0], now_s)

    def _find_expired(self, now_s: float) -> None:
        over = {backend for backend in self._context.backends if backend.entry.expires_s <= now_s}
        if not over:
            return
        for backend in over:
            backend.entry.forget_expired(now_s)
        for one in self._requests.open:
            if one.record.principal is None or one.backend not in over:
                continue
            if one.record.principal.expires_s <= now_s:
                self._due[one] = None
            else:
                one.backend.entry.track_expiry(one.record.principal)

    def _judge(self, exchange: Exchange, now_s: float) -> None:
        if exchange.state is State.DONE or exchange.record.principal is None:
            return
        try:
            self._context.authenticator.authenticate(exchange.backend.entry, exchange.plan.authorization, now_s)
        except Problem as problem:
            try:
                exchange.cut(cast("ProxyReason", problem.reason))
            except Exception:
                log.exception("request_cut_failed")
