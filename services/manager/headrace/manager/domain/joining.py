"""Whether a machine may join: its token, and its name, with what stands against it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from headrace.common.contracts.vocabulary import JoinKind
from headrace.manager.domain.records.joining import BusIdentity, StoredJoinToken

NOUNS: Final = {"agent": "agents", "proxy": "app-proxies", "autoscaler": "autoscalers"}


def token_refusal(stored: StoredJoinToken, kind: JoinKind, *, again: bool) -> str | None:
    """Return why a token whose secret is right cannot be used; None when it can.

    `again`: the same key has joined with it before, and repeats its request: that takes no further use.
    """
    token = stored.token
    another = f"make another: headrace {kind} join-token"
    if token.revoked_at is not None:
        return f"this join token was revoked at {_shown(token.revoked_at)}; {another}"
    if stored.expired:
        return f"this join token expired at {_shown(token.expires_at)}; {another}"
    if token.kind != kind:
        return f"this join token is for {NOUNS[token.kind]}, and {NOUNS[kind]} need another: headrace {kind} join-token"
    if token.used >= token.uses and not again:
        return f"this join token is used up ({token.used} of {token.uses}); {another}"
    return None


@dataclass(frozen=True, slots=True)
class NameTaken:
    """What has the name that a machine wants."""

    name: str
    kind: JoinKind
    installed: Collection[str]
    """Names of the users that `headrace init` has made."""
    held: bool
    """Another key has joined under the name."""
    removed: bool
    """A machine of the name was removed."""
    reported: bool
    """There is a machine of the name; one that joined and never reported is none."""

    def refusal(self) -> str | None:
        """Return why nobody can join under the name; None when one can."""
        if self.name in self.installed:
            return f"{self.name} is a user of the bus that headrace init made; choose another --name"
        if self.held:
            remove = (
                f"headrace agent remove {self.name}"
                if self.kind == "agent" and self.reported
                else f"headrace identity revoke {self.name}"
            )
            return (
                f"{self.name} has joined with another key; choose another --name, or take that one out first: {remove}"
            )
        if self.removed:
            return f"{self.name} was removed from the installation; choose another --name, or first: headrace agent admit {self.name}"
        return None


def identity_refusal(identity: BusIdentity) -> str | None:
    """Return why an identity cannot be renewed; None when it can."""
    if identity.revoked_at is None:
        return None
    by = f"{identity.revoked_by} revoked the identity of {identity.name} at {_shown(identity.revoked_at)}"
    return f"{by}: {identity.revoked_reason}" if identity.revoked_reason else by


def _shown(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
