"""Record of one request, read by statistics, access log and spans after its end.

Plain values, so that telemetry depends on neither exchange nor connection. Never holds a token; the path has no query.
"""

from __future__ import annotations

import re
from typing import Any, Final

from headrace.appproxy.dataplane.http1.heads import RequestHead
from headrace.appproxy.dataplane.inspect.usage import NOTHING, Tokens
from headrace.appproxy.dataplane.route_table import Principal
from headrace.appproxy.dataplane.telemetry.stats import ReplicaStats

_MAX_PATH: Final = 512
_PATH: Final = re.compile(rb"(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?(/[^?#]*|\*)")


class RequestRecord:
    """Record of one request. Times are seconds of a monotonic clock."""

    request_id = b""
    service = ""
    """Service name, once known."""
    principal: Principal | None = None
    """Authenticated caller, once known."""
    stats: ReplicaStats | None = None
    """Counters of the last replica."""
    status = 0
    """Status of the response; 0 if the caller left before it."""
    reason = ""
    """Reason of a local reply; empty if the replica responded."""
    broken = ""
    """Reason of an interrupted response."""
    first_byte_s: float | None = None
    """Time from the head to the first byte of the response body."""
    queued_s: float | None = None
    bytes_sent = 0
    bytes_received = 0
    retries = 0
    tokens: Tokens = NOTHING
    """Prompt, completion and total tokens of the response, once it has ended."""
    audio_ms = 0
    """Milliseconds of audio that the response tells."""
    upgraded = False
    """True if it became a WebSocket."""
    caller_gone = False
    """The caller left before the end."""
    was_cut = False
    """Cut at the end of the replica's or the proxy's grace."""
    trace: Any = None
    """Its span, if it is traced."""

    def __init__(self, head: RequestHead, client_address: str, now_s: float) -> None:
        self.head = head
        self.client_address = client_address
        """Client address: behind trusted proxies, the one they forwarded, once the head was read."""
        self.started_s = self.ended_s = now_s

    @property
    def method(self) -> str:
        """Request method."""
        return self.head.method.decode()

    @property
    def path(self) -> str:
        """Request path, bounded. Parts that may hold a secret are left out: query, fragment, authority of an absolute
        target.
        """
        found = _PATH.match(self.head.target)
        return found[1][:_MAX_PATH].decode("latin-1") if found is not None else ""

    @property
    def replica_key(self) -> str:
        """Session id of the last replica, or empty."""
        return str(self.stats.session_id) if self.stats is not None else ""

    @property
    def revision(self) -> str:
        """Revision id of the last replica, or empty."""
        return str(self.stats.revision_id) if self.stats is not None else ""

    @property
    def client_name(self) -> str:
        """Name of a named client, or empty."""
        return self.principal.name.decode() if self.principal is not None and self.principal.name else ""
