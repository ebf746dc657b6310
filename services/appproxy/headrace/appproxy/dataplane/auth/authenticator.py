"""Authenticates and authorises a request from the route table, without network calls."""

from __future__ import annotations

import hmac
from typing import Final

from headrace.appproxy.dataplane.auth.access import Claims, Denial, counts_tokens, denial, effective_limits
from headrace.appproxy.dataplane.auth.credentials import (
    BasicCredentials,
    Credential,
    SignedToken,
    forwardable,
    parse_credential,
)
from headrace.appproxy.dataplane.auth.signatures import SignatureVerifier
from headrace.appproxy.dataplane.inspect.model_index import PUBLIC_SCOPE, ModelIndex, ModelScope
from headrace.appproxy.dataplane.route_table import Principal, RouteEntry, RouteTables
from headrace.common.contracts.ids import ProjectId, ServiceId
from headrace.common.contracts.messages.routes import NamedClient, RateLimits
from headrace.common.contracts.problems import Forbidden, Problem, Unauthenticated
from headrace.common.contracts.reasons.proxy import ProxyReason

_WORDS: dict[Denial, str] = {
    ProxyReason.MISSING_TOKEN: "this service needs a token: Authorization: Bearer <token>",
    ProxyReason.MALFORMED_TOKEN: "the token was not issued by this installation; send one Authorization: Bearer <token>",
    ProxyReason.UNKNOWN_KEY: "the token was signed with a key that this installation does not use",
    ProxyReason.BAD_SIGNATURE: "the token's signature is wrong",
    ProxyReason.EXPIRED_TOKEN: "the token has expired",
    ProxyReason.OTHER_SERVICE: "the token is for another service",
    ProxyReason.REVOKED_TOKEN: "the token was revoked",
    ProxyReason.WRONG_SECRET: "this service has no client with this name and secret",
}
_CHALLENGES: Final = 'Basic realm="headrace", charset="UTF-8", Bearer realm="headrace"'
_NOBODYS_DIGEST: Final = "0" * 64
MAX_CALLERS = 2048
"""Callers cached per service and table."""
_MAX_REMEMBERED_BYTES = 1024
"""Longer headers are not cached, so that callers of a public service cannot fill the memory."""


class Authenticator:
    """Authenticates and authorises requests by token or basic auth, and gives the reason of a refusal.

    An authorised caller is cached in the table's RouteEntry under its Authorization header: the next request costs one
    look-up and a comparison with the expiry. A new table makes a new RouteEntry, so revocation, rotation, limits and
    keys are checked again; only signatures (of at most `remembered` tokens) are cached longer. Refusals are not cached.
    """

    def __init__(self, *, remembered: int = 10_000) -> None:
        self._signatures = SignatureVerifier(remembered=remembered)

    def authenticate(self, entry: RouteEntry, authorization: bytes | None, now_s: float) -> Principal:
        """Return the caller. `authorization`: the value of that header; `now_s`: seconds since the epoch.

        Raises Unauthenticated or Forbidden with a `reason`. A public service refuses nobody: a caller without a valid
        credential is the principal `public`.
        """
        principal = entry.principals.get(authorization)
        if principal is not None and now_s < principal.expires_s:
            return principal
        return self._authenticate(entry, authorization, now_s)

    def model_scope(
        self, tables: RouteTables, index: ModelIndex, authorization: bytes | None, now_s: float
    ) -> ModelScope | Denial:
        """Return the caller's scope at the fleet's base URL, or the reason why its credential is refused.

        Costs a few look-ups and at most one signature verification.
        """
        credential = parse_credential(authorization)
        if isinstance(credential, SignedToken):
            return self._by_subject(tables, index, credential, now_s)
        if isinstance(credential, BasicCredentials):
            entries = tables.with_client(credential.name, credential.digest)
            opened = [entry.table for entry in entries if not isinstance(_by_secret(entry, credential), str)]
            if not opened:
                return ProxyReason.WRONG_SECRET
            return ModelScope(opened[0].project_id, frozenset(table.service_id for table in opened))
        return credential

    def _by_subject(
        self, tables: RouteTables, index: ModelIndex, token: SignedToken, now_s: float
    ) -> ModelScope | Denial:
        claims = self._signatures.claims(token, tables.key(token.kid))
        if isinstance(claims, str):
            return claims
        if claims.expires_s <= now_s:
            return ProxyReason.EXPIRED_TOKEN
        service_id = ServiceId(claims.subject)
        entry = tables.get(service_id)
        if entry is None:
            some = index.any_in_project(ProjectId(claims.subject))
            entry = tables.get(some) if some is not None else None
        if entry is None:
            return PUBLIC_SCOPE  # of a project without services, or a deleted service: it grants nothing
        why = self._by_token(entry, token, now_s)
        if isinstance(why, str):
            return why
        project = entry.table.project_id
        return ModelScope(project, None if claims.subject == project else frozenset({service_id}))

    def _authenticate(self, entry: RouteEntry, authorization: bytes | None, now_s: float) -> Principal:
        entry.principals.pop(authorization, None)  # an expired one
        credential = parse_credential(authorization)
        opened = self._verified_credential(entry, credential, now_s)
        if not isinstance(opened, str):
            principal = _principal_of(entry, opened)
        elif entry.table.open_to_public:
            forward = None if _is_known_client(entry, credential) else forwardable(authorization, credential)
            limits = effective_limits(None, entry.table.caller_limits)
            principal = Principal(
                "public", limits=limits, forward_authorization=forward, counts_tokens=counts_tokens(limits)
            )
        else:
            raise denial_problem(opened, basic=bool(entry.table.clients))
        entry.track_expiry(principal)
        if authorization is None or len(authorization) <= _MAX_REMEMBERED_BYTES:
            if len(entry.principals) >= MAX_CALLERS:
                del entry.principals[next(iter(entry.principals))]  # the one that came first
            entry.principals[authorization] = principal
        return principal

    def _verified_credential(
        self, entry: RouteEntry, credential: Credential, now_s: float
    ) -> Claims | NamedClient | Denial:
        """Return the token or client that grants access to the service, or the reason why the credential does not."""
        if isinstance(credential, SignedToken):
            return self._by_token(entry, credential, now_s)
        return _by_secret(entry, credential) if isinstance(credential, BasicCredentials) else credential

    def _by_token(self, entry: RouteEntry, token: SignedToken, now_s: float) -> Claims | Denial:
        claims = self._signatures.claims(token, entry.keys.get(token.kid))
        if isinstance(claims, str):
            return claims
        table = entry.table
        why = denial(
            claims,
            service_id=table.service_id,
            project_id=table.project_id,
            keys=entry.keys,
            revoked=entry.revoked,
            now_s=now_s,
        )
        return claims if why is None else why


def _by_secret(entry: RouteEntry, credential: BasicCredentials) -> NamedClient | Denial:
    """Return the named client, or the reason of the refusal; an unknown name takes as long as a wrong secret."""
    client = entry.clients.get(credential.name)
    expected = _NOBODYS_DIGEST if client is None else client.secret_sha256
    same = hmac.compare_digest(credential.digest, expected)
    return client if same and client is not None else ProxyReason.WRONG_SECRET


def _is_known_client(entry: RouteEntry, credential: Credential) -> bool:
    """Return True for a client of this service although its secret is wrong: rotated, or mistyped."""
    return isinstance(credential, BasicCredentials) and credential.name in entry.clients


def _principal_of(entry: RouteEntry, opened: Claims | NamedClient) -> Principal:
    others = entry.table.caller_limits
    if isinstance(opened, NamedClient):
        key = f"client:{opened.client_id}"
        limits = effective_limits(opened.limits, others)
        return Principal(
            key,
            name=opened.name.encode(),
            limits=limits,
            share=opened.share,
            counts_tokens=counts_tokens(limits),
            bucket=f"{entry.table.service_id}:{key}",
        )
    special = entry.token_limits.get(opened.token_id) or opened.terms
    own: RateLimits | None = None if special is None else special.limits
    key = f"token:{opened.token_id}"
    limits = effective_limits(own, others)
    # Its own limits count where it may call; a service's defaults protect that service, and count there.
    scope = opened.subject if limits is not None and limits is own else entry.table.service_id
    return Principal(
        key,
        limits=limits,
        share=1 if special is None else special.share,
        expires_s=opened.expires_s,
        counts_tokens=counts_tokens(limits),
        bucket=f"{scope}:{key}",
        limits_scope="service" if scope == entry.table.service_id else "project",
    )


def denial_problem(why: Denial, *, basic: bool) -> Problem:
    """Return the problem for a denied caller. `basic`: the service has named clients, so that basic auth is offered
    too.
    """
    kind: type[Problem] = Forbidden if why.status == Forbidden.status else Unauthenticated
    problem = kind(_WORDS[why], reason=why)
    if kind is Unauthenticated and (why == ProxyReason.WRONG_SECRET or basic):
        problem.headers = {"WWW-Authenticate": _CHALLENGES}
    return problem
