"""Record of one request: what statistics, access log and spans read once it has ended.

Plain values, so that telemetry knows neither exchange nor connection. Never holds a token; the path is without its query.
"""

from __future__ import annotations

import re
from typing import Any, Final

from headrace.appproxy.dataplane.http1.heads import RequestHead
from headrace.appproxy.dataplane.inspect.usage import NOTHING, Tokens
from headrace.appproxy.dataplane.route_table import Principal
from headrace.appproxy.dataplane.telemetry.stats import ReplicaStats

_MOST_PATH: Final = 512
_PATH: Final = re.compile(rb"(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?(/[^?#]*|\*)")


class RequestRecord:
    """Record of one request. Times are seconds of a monotonic clock."""

    request_id = b""
    service = ""
    """Its service's name, once that is known."""
    principal: Principal | None = None
    """Who sent it, once that is judged."""
    stats: ReplicaStats | None = None
    """Those of the replica that it was sent to last."""
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
    tokens: Tokens = NOTHING
    """Prompt, completion and total tokens that the answer said, once it has ended."""
    upgraded = False
    """Whether it became a WebSocket."""
    caller_gone = False
    """The caller went before the end."""
    was_cut = False
    """We ended it: the replica's or the proxy's grace was over."""
    trace: Any = None
    """Its span, where it is traced."""

    def __init__(self, head: RequestHead, client_address: str, now_s: float) -> None:
        self.head = head
        self.client_address = client_address
        """The address that it came from: behind proxies of one's own, what they say once the head was read."""
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
        return found[1][:_MOST_PATH].decode("latin-1") if found is not None else ""

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
