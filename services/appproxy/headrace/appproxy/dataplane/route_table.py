"""Applied route tables: the newest of each service, by name or port; and the authenticated callers of each.

Independent of bus, disk and HTTP.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from headrace.appproxy.dataplane.headers.cors import CorsPolicy, policy_of
from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.routes import NamedClient, RateLimits, RouteTable, TokenLimits
from headrace.common.contracts.vocabulary import LimitsScope

NEVER = float("inf")
_REMOVED_KEPT = 10_000
_MAX_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Principal:
    """Authenticated caller of one service. One object serves many requests."""

    key: str
    """`token:<uuid>`, `client:<uuid>`, or `public` for callers without a credential, who are limited by address."""
    name: bytes | None = None
    """Name of a named client, sent to the replica as X-Forwarded-User."""
    limits: RateLimits | None = None
    """Effective limits; None: unlimited."""
    share: int = 1
    """Weight in the queue."""
    counts_tokens: bool = field(default=False, compare=False)
    """Whether its limits bound tokens."""
    bucket: str = field(default="", compare=False)
    """Under which name its limits are kept; empty where they are an address's."""
    limits_scope: LimitsScope = field(default="service", compare=False)
    """Over what they count: a project's token with limits of its own has them over all services of its project."""
    forward_authorization: bytes | None = field(default=None, repr=False)
    """Authorization header forwarded to the replica; never a credential of this installation."""
    expires_s: float = NEVER
    """Seconds since the epoch at which the caller must be authenticated again."""


class RouteEntry:
    """Route table of one service, with the look-up structures of requests."""

    def __init__(self, table: RouteTable) -> None:
        self.table = table
        self.principals: dict[bytes | None, Principal] = {}
        """Authenticated callers under this table, by Authorization header."""
        self.expires_s = NEVER
        """Earliest expiry of a caller of this table or one before it, in seconds since the epoch; it may have left by
        then."""
        # Computed here: compiled classes do not keep what a cached property returns.
        self.keys: dict[str, str] = {key.kid: key.public_key for key in table.token_keys}
        """Public keys by kid."""
        self.revoked: frozenset[UUID] = frozenset(revocation.token_id for revocation in table.revocations)
        """Ids of revoked tokens."""
        self.clients: dict[str, NamedClient] = {client.name: client for client in table.clients}
        """Named clients by name."""
        self.token_limits: dict[UUID, TokenLimits] = {limits.token_id: limits for limits in table.token_limits}
        """Limits and shares of tokens that have their own."""
        self.cors: CorsPolicy | None = policy_of(table.cors)
        """CORS policy; None: CORS is left to the replica."""

    def track_expiry(self, principal: Principal) -> None:
        """Record that this caller may have open requests, which are checked when its token expires."""
        self.expires_s = min(self.expires_s, principal.expires_s)

    def forget_expired(self, now_s: float) -> None:
        """Forget callers whose token has expired, and compute `expires_s` from the others."""
        self.principals = {
            credential: principal for credential, principal in self.principals.items() if principal.expires_s > now_s
        }
        self.expires_s = min([principal.expires_s for principal in self.principals.values()], default=NEVER)


class RouteTables:
    """Route tables by service; a table of an older generation is refused.

    Names are unique among living services; while a deleted service's tombstone has not arrived, the newer service (ids
    are ordered by creation) owns the name.
    """

    def __init__(self) -> None:
        self._entries: dict[ServiceId, RouteEntry] = {}
        self._names: dict[str, list[ServiceId]] = {}
        self._ports: dict[int, list[ServiceId]] = {}
        self._clients: dict[tuple[str, str], dict[ServiceId, None]] = {}
        self._keys: OrderedDict[str, str] = OrderedDict()
        self._removed: OrderedDict[ServiceId, int] = OrderedDict()
        self._sessions: dict[SessionId, ServiceId] | None = None

    def apply(self, table: RouteTable) -> bool:
        """Apply `table`. Return False, and change nothing, unless its generation is above the current one."""
        service_id = table.service_id
        old = self._entries.get(service_id)
        known = old.table.generation if old else self._removed.get(service_id, 0)
        if table.generation <= known:
            return False
        self._sessions = None
        if old is not None:
            self._unlist(old.table)
        if table.removed:
            self._entries.pop(service_id, None)
            self._removed[service_id] = table.generation
            self._removed.move_to_end(service_id)
            if len(self._removed) > _REMOVED_KEPT:
                self._removed.popitem(last=False)
            return True
        self._removed.pop(service_id, None)
        self._entries[service_id] = RouteEntry(table)
        self._list(table)
        return True

    def _list(self, table: RouteTable) -> None:
        for index, key in self._places(table):
            index[key] = sorted([*index.get(key, ()), table.service_id])
        for client in table.clients:
            self._clients.setdefault((client.name, client.secret_sha256), {})[table.service_id] = None
        for known in table.token_keys:
            self._keys[known.kid] = known.public_key
            if len(self._keys) > _MAX_KEYS:
                self._keys.popitem(last=False)

    def _unlist(self, table: RouteTable) -> None:
        for index, key in self._places(table):
            index[key].remove(table.service_id)
            if not index[key]:
                del index[key]
        for client in table.clients:
            known = client.name, client.secret_sha256
            named = self._clients.get(known, {})
            named.pop(table.service_id, None)
            if not named:
                self._clients.pop(known, None)

    def _places(self, table: RouteTable) -> list[tuple[dict[Any, list[ServiceId]], Any]]:
        """Return the indexes and keys under which a table is listed."""
        places: list[tuple[dict[Any, list[ServiceId]], Any]] = [(self._names, table.name)]
        if table.port is not None:
            places.append((self._ports, table.port))
        return places

    def by_name(self, name: str) -> RouteEntry | None:
        """Return the service with this name (path segment and host label)."""
        ids = self._names.get(name)
        return self._entries[ids[-1]] if ids else None

    def by_port(self, port: int) -> RouteEntry | None:
        """Return the service with this own port."""
        ids = self._ports.get(port)
        return self._entries[ids[-1]] if ids else None

    def key(self, kid: str) -> str | None:
        """Return the public key of this `kid` in any table, active or retired: whether its tokens are accepted is
        decided per service.
        """
        return self._keys.get(kid)

    def with_client(self, name: str, secret_sha256: str) -> list[RouteEntry]:
        """Return the services that have a client with this name and secret. Several clients may have the same name."""
        return [self._entries[service_id] for service_id in self._clients.get((name, secret_sha256), ())]

    def get(self, service_id: ServiceId) -> RouteEntry | None:
        """Return one service's entry."""
        return self._entries.get(service_id)

    def ports(self) -> frozenset[int]:
        """Return all own ports of services."""
        return frozenset(self._ports)

    def generations(self) -> dict[ServiceId, int]:
        """Return the applied generation of every service in the tables."""
        return {service_id: entry.table.generation for service_id, entry in self._entries.items()}

    def sessions(self) -> Mapping[SessionId, ServiceId]:
        """Return every replica in the tables with its service."""
        if self._sessions is None:
            self._sessions = {r.session_id: t.service_id for t in self for r in t.routes}
        return self._sessions

    def __iter__(self) -> Iterator[RouteTable]:
        return (entry.table for entry in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
