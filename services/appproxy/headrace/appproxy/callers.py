"""The gate: who calls, and whether this service is open to them. Judged offline, from the table alone."""

from __future__ import annotations

import hmac
from typing import Final

from headrace.appproxy.credentials import NameAndSecret, Shown, Signed, forwardable, read
from headrace.appproxy.domain.access import Caller, Claims, Denial, applying, denial
from headrace.appproxy.domain.fleet import ANYBODY, Index, Principal
from headrace.appproxy.signatures import Signatures
from headrace.appproxy.table import Entry, Tables
from headrace.common.contracts.ids import ProjectId, ServiceId
from headrace.common.contracts.messages.routes import NamedClient, RateLimits
from headrace.common.contracts.problems import Forbidden, Problem, Unauthenticated

_WORDS: dict[Denial, str] = {
    "missing-token": "this service needs a token: Authorization: Bearer <token>",
    "malformed-token": "what was shown as a token is none of this installation; allowed is one Authorization: Bearer <token>",
    "unknown-key": "the token was signed with a key that this installation does not use",
    "bad-signature": "the token's signature is wrong",
    "expired-token": "the token has expired",
    "other-service": "the token is for another service",
    "revoked-token": "the token was revoked",
    "wrong-secret": "this service has no client with this name and secret",
}
_FORBIDDEN: frozenset[Denial] = frozenset({"other-service"})
_CHALLENGES: Final = 'Basic realm="headrace", charset="UTF-8", Bearer realm="headrace"'
_NOBODYS_DIGEST: Final = "0" * 64
_MOST_CALLERS = 2048
"""Remembered per service and table."""
_MOST_REMEMBERED_BYTES = 1024
"""Longer headers are judged anew each time, so that callers of a public service cannot fill the memory."""


class Gate:
    """Tells callers apart, and says why one may not call.

    A caller that was let through is remembered in the table's Entry under the header as it came: the next request costs one
    look-up and a comparison with the expiry. A new table makes a new Entry, so revocation, rotation, limits and keys are judged
    anew; only signatures (of at most `remembered` tokens) are remembered longer. Refusals are not remembered.
    """

    def __init__(self, *, remembered: int = 10_000) -> None:
        self._signatures = Signatures(remembered=remembered)

    def check(self, entry: Entry, authorization: bytes | None, now_s: float) -> Caller:
        """Return the caller. `authorization`: the one header of that name; `now_s`: seconds since the epoch.

        Raises Unauthenticated or Forbidden with a `reason`. A public service refuses nobody: who shows nothing that opens it
        is the caller `public`.
        """
        caller = entry.callers.get(authorization)
        if caller is not None and now_s < caller.expires_s:
            return caller
        return self._judged(entry, authorization, now_s)

    def principal(self, tables: Tables, index: Index, authorization: bytes | None, now_s: float) -> Principal | Denial:
        """Return who asks at the fleet's base URL, or why what is shown is no good. Costs a few look-ups and at most one signature."""
        shown = read(authorization)
        if isinstance(shown, Signed):
            return self._by_subject(tables, index, shown, now_s)
        if isinstance(shown, NameAndSecret):
            entries = tables.with_client(shown.name, shown.digest)
            opened = [entry.table for entry in entries if not isinstance(_by_secret(entry, shown), str)]
            if not opened:
                return "wrong-secret"
            return Principal(opened[0].project_id, frozenset(table.service_id for table in opened))
        return shown

    def _by_subject(self, tables: Tables, index: Index, token: Signed, now_s: float) -> Principal | Denial:
        claims = self._signatures.claims(token, tables.key(token.kid))
        if isinstance(claims, str):
            return claims
        if claims.expires_s <= now_s:
            return "expired-token"
        service_id = ServiceId(claims.subject)
        entry = tables.get(service_id)
        if entry is None:
            some = index.any_of(ProjectId(claims.subject))
            entry = tables.get(some) if some is not None else None
        if entry is None:
            return ANYBODY  # of a project without services, or a service that is gone: it opens nothing
        why = self._by_token(entry, token, now_s)
        if isinstance(why, str):
            return why
        project = entry.table.project_id
        return Principal(project, None if claims.subject == project else frozenset({service_id}))

    def _judged(self, entry: Entry, authorization: bytes | None, now_s: float) -> Caller:
        entry.callers.pop(authorization, None)  # an expired one
        shown = read(authorization)
        opened = self._opened(entry, shown, now_s)
        if not isinstance(opened, str):
            caller = _known_caller(entry, opened)
        elif entry.table.open_to_public:
            forward = None if _names_client(entry, shown) else forwardable(authorization, shown)
            caller = Caller("public", limits=applying(None, entry.table.caller_limits), forward_authorization=forward)
        else:
            raise refusal(opened, basic=bool(entry.table.clients))
        entry.uses(caller)
        if authorization is None or len(authorization) <= _MOST_REMEMBERED_BYTES:
            if len(entry.callers) >= _MOST_CALLERS:
                del entry.callers[next(iter(entry.callers))]  # the one that came first
            entry.callers[authorization] = caller
        return caller

    def _opened(self, entry: Entry, shown: Shown, now_s: float) -> Claims | NamedClient | Denial:
        """Return the token or client that opens the service, or why what is shown does not."""
        if isinstance(shown, Signed):
            return self._by_token(entry, shown, now_s)
        return _by_secret(entry, shown) if isinstance(shown, NameAndSecret) else shown

    def _by_token(self, entry: Entry, token: Signed, now_s: float) -> Claims | Denial:
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


def _by_secret(entry: Entry, shown: NameAndSecret) -> NamedClient | Denial:
    """Return the client; an unknown name takes as long as a wrong secret."""
    client = entry.clients.get(shown.name)
    expected = _NOBODYS_DIGEST if client is None else client.secret_sha256
    same = hmac.compare_digest(shown.digest, expected)
    return client if same and client is not None else "wrong-secret"


def _names_client(entry: Entry, shown: Shown) -> bool:
    """Whether it is meant for us although it does not open the service: a rotated or mistyped secret."""
    return isinstance(shown, NameAndSecret) and shown.name in entry.clients


def _known_caller(entry: Entry, opened: Claims | NamedClient) -> Caller:
    others = entry.table.caller_limits
    if isinstance(opened, NamedClient):
        return Caller(
            f"client:{opened.client_id}",
            name=opened.name.encode(),
            limits=applying(opened.limits, others),
            share=opened.share,
        )
    special = entry.token_limits.get(opened.token_id) or opened.terms
    own: RateLimits | None = None if special is None else special.limits
    return Caller(
        f"token:{opened.token_id}",
        limits=applying(own, others),
        share=1 if special is None else special.share,
        expires_s=opened.expires_s,
    )


def refusal(why: Denial, *, basic: bool) -> Problem:
    """Return the problem for a caller that is not let in. `basic`: whether there are clients that could call by name and secret."""
    kind: type[Problem] = Forbidden if why in _FORBIDDEN else Unauthenticated
    problem = kind(_WORDS[why], reason=why)
    if kind is Unauthenticated and (why == "wrong-secret" or basic):
        problem.headers = {"WWW-Authenticate": _CHALLENGES}
    return problem
