"""Request accounting: what is recorded of one request, and settled once it has ended."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from headrace.appproxy.dataplane.auth.access import DENIALS
from headrace.appproxy.dataplane.headers.forwarded import address_block
from headrace.appproxy.dataplane.inspect.usage import NOTHING, Tokens, cost, tokens_of
from headrace.common.contracts.problems import Problem

if TYPE_CHECKING:
    from headrace.appproxy.dataplane.auth.access import Principal
    from headrace.appproxy.dataplane.balancing.backend import Backend
    from headrace.appproxy.dataplane.http1.heads import RequestHead
    from headrace.appproxy.dataplane.inspect.usage import UsageReader
    from headrace.appproxy.dataplane.ratelimit.policy import Reservation
    from headrace.appproxy.dataplane.request.body import RequestBody
    from headrace.appproxy.dataplane.request.downstream import DownstreamConnection
    from headrace.appproxy.dataplane.request.plan import RequestPlan
    from headrace.appproxy.dataplane.telemetry.stats import ReplicaStats
    from headrace.appproxy.dataplane.upstream.connection import ReplicaConnection
    from headrace.appproxy.dataplane.upstream.replica import Replica

GRACE_REASONS: Final = frozenset({"shutting-down", "replica-stopped"})
"""Why a request is cut at the end of a grace."""
_MOST_PATH: Final = 512
_COUNTED: Final[tuple[int, ...]] = (401, 403, 429, 503)
"""Refused also where a replica was chosen already."""
_PATH: Final = re.compile(rb"(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?(/[^?#]*|\*)")


class RequestRecord:
    """One request. Times are seconds of a clock that only goes forward. Never holds a token; the access log gets no query string."""

    # What most requests never set lies here, not in each instance.
    backend: Backend
    """The service, once `found`."""
    found = False
    """Whether the service is known."""
    principal: Principal | None = None
    plan: RequestPlan
    """What its head means, once that is known; what is told to a replica is part of it."""
    fields = b""
    """What the replica gets as header fields, beside those that frame the body."""
    request_id = b""
    limit_fields = b""
    """Fields for the answer: the caller's limits."""
    cors_fields = b""
    """Fields for the answer: what a browser lets the page do that asks. In place of the replica's own, if any."""
    openai = False
    """Whether it came in on the fleet's base URL."""
    reservation: Reservation | None = None
    """What it holds of the caller's limits."""
    connection: ReplicaConnection | None = None
    """To the replica, from sending to the end of the answer."""
    trace: Any = None
    stats: ReplicaStats | None = None
    at_fault: Replica | None = None
    """The replica that left it unanswered."""

    status = 0
    """What the caller got; 0 if it left before."""
    reason = ""
    """Why we refused or failed it ourselves; empty where the replica answered."""
    broken = ""
    """Why an answer that had begun could not be finished."""
    first_byte_s: float | None = None
    """From the head to the first byte of the answer's body."""
    queued_s: float | None = None
    bytes_sent = 0
    bytes_received = 0
    retries = 0
    body: RequestBody | None = None
    json_response = b""
    """A whole answer that says something of tokens."""
    usage: UsageReader | None = None
    """What reads the answer, where it comes in pieces."""
    tokens: Tokens = NOTHING
    """Prompt, completion and total tokens that the answer said, once it has ended."""
    upgraded = False
    caller_gone = False
    """The caller went before the end."""
    was_cut = False
    """We ended it: the replica's or the proxy's grace was over."""
    closed = False

    def __init__(self, downstream: DownstreamConnection, head: RequestHead) -> None:
        self.downstream = downstream
        self.context = downstream.context
        self.head = head
        self.client_address = downstream.address
        """The address that it came from: behind proxies of one's own, what they say once the head was read."""
        self.started_s = self.ended_s = downstream.context.now()

    # --- what the access log and spans read

    @property
    def method(self) -> str:
        """The request's method."""
        return self.head.method.decode()

    @property
    def path(self) -> str:
        """The request's path, bounded. What may hold a secret is left out: query, fragment, the authority of an absolute target."""
        found = _PATH.match(self.head.target)
        return found[1][:_MOST_PATH].decode("latin-1") if found is not None else ""

    @property
    def service(self) -> str:
        """The service's name, or nothing."""
        return self.backend.name if self.found else ""

    @property
    def replica_key(self) -> str:
        """The last replica's session id, or nothing."""
        return self.stats.session_id if self.stats is not None else ""

    @property
    def revision(self) -> str:
        """The last replica's revision id, or nothing."""
        return self.stats.revision_id if self.stats is not None else ""

    @property
    def caller_key(self) -> str:
        """Whose request it is, for limits and the queue: a token, a client, or an address (of IPv6 its /64)."""
        principal = self.principal
        return (
            f"address:{address_block(self.client_address)}"
            if principal is None or principal.key == "public"
            else principal.key
        )

    @property
    def client_name(self) -> str:
        """A named client's name, or nothing."""
        return self.principal.name.decode() if self.principal is not None and self.principal.name else ""

    # --- what happens

    def retried(self, why: str) -> None:
        """It is sent again."""
        self.retries += 1
        self.backend.stats.retried(why)

    def refused(self, problem: Problem) -> None:
        """The answer is ours."""
        self.status = problem.status
        self.reason = str(problem.extra.get("reason", problem.type))

    def account_for(self, replica: Replica | None) -> None:
        """It has ended; `replica` is the one that it was on, if any. It is accounted for after the answer has left."""
        self.ended_s = self.context.now()
        replica = replica or self.at_fault
        if replica is not None and replica.drain is not None:
            failed = bool(self.broken and self.broken not in DENIALS) or replica is self.at_fault
            replica.drain.ended(self.ended_s - self.started_s, was_cut=self.was_cut, failed=failed)
        self.context.coalescer.defer(self._settle)

    def _settle(self) -> None:
        context, stats = self.context, self.stats
        seconds = self.ended_s - self.started_s
        if self.json_response:
            self.tokens = tokens_of(self.json_response)
        if self.body is not None:
            self.bytes_received += self.body.size
        if stats is not None:
            self._count(stats, seconds)
        if self.reason:
            self._count_reason(self.reason)
        if self.reservation is not None:
            context.settle(self.reservation, self._cost())
        context.access_log.ended(self, seconds)
        if self.trace is not None:
            context.tracer.ended(self.trace, self)

    def _count_reason(self, reason: str) -> None:
        if not self.found:
            self.context.stats.count_unknown(reason)
        elif self.stats is None or self.status in _COUNTED:
            self.backend.stats.refused_for(reason)

    def _cost(self) -> int | None:
        """Return what it costs of the caller's limits: what the answer says; else nothing where it never ran or failed."""
        said = cost(self.tokens)
        if said is None and (self.status >= 400 or (not self.status and self.connection is None)):
            return 0
        return said

    def _count(self, stats: ReplicaStats, seconds: float) -> None:
        stats.ended(self.status, seconds, None if self.upgraded else self.first_byte_s, lasting=self.upgraded)
        stats.bytes_sent += self.bytes_sent
        stats.bytes_received += self.bytes_received
        if self.broken:
            stats.broke(self.broken)
        if self.was_cut:
            stats.cut += 1
        usage = self.usage
        if usage is not None:
            self.tokens = usage.tokens
            if usage.events > 1 and (per_event := usage.seconds_per_event) is not None:
                stats.per_event.observe(per_event)
        if self.tokens is not NOTHING:
            stats.prompt_tokens += self.tokens[0] or 0
            stats.completion_tokens += self.tokens[1] or 0
