"""Judges what callers have open anew: after a table that takes rights away, and when a token expires. Who may call no more is cut."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import structlog

from headrace.common.contracts.problems import Problem

if TYPE_CHECKING:
    from headrace.appproxy.serving import Serving
    from headrace.appproxy.traffic.parts import Parts

log = structlog.get_logger(__name__)
AT_ONCE = 1000
"""Requests that one sweep judges, so that others are not held up when thousands lose their right at once."""


class Recheck:
    """Looks at open requests only when a right was taken away, and once per moment in which tokens that are in use expire."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._due: OrderedDict[Any, None] = OrderedDict()
        """Exchanges, each at most once: tables may take rights away faster than all that is open is judged."""

    def changed(self, serving: Serving) -> None:
        """The service's table took rights away: what is open on it is judged by the next sweeps."""
        self._due.update((one, None) for one in self._parts.open if one.found and one.serving is serving)

    def sweep(self) -> None:
        """Cut those who may call no more, at most AT_ONCE of those that are due. To be called several times a second."""
        now_s: float = self._parts.epoch()
        self._find_expired(now_s)
        for _ in range(min(len(self._due), AT_ONCE)):
            self._judge(self._due.popitem(last=False)[0], now_s)

    def _find_expired(self, now_s: float) -> None:
        over = {serving for serving in self._parts.servings if serving.entry.expires_s <= now_s}
        if not over:
            return
        for serving in over:
            serving.entry.forget_expired(now_s)
        for one in self._parts.open:
            if one.who is None or one.serving not in over:
                continue
            if one.who.expires_s <= now_s:
                self._due[one] = None
            else:
                one.serving.entry.uses(one.who)

    def _judge(self, exchange: Any, now_s: float) -> None:
        if exchange.closed or exchange.who is None:
            return
        try:
            self._parts.gate.check(exchange.serving.entry, exchange.way.shown, now_s)
        except Problem as problem:
            try:
                exchange.current.cut(str(problem.extra["reason"]))
            except Exception:
                log.exception("cut_failed")
