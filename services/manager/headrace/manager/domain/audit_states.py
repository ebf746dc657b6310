"""What the audit log keeps of each noun before and after a change.

Each class is an allow-list: what is no field of it is in no entry, so that a secret cannot come into one by being added
elsewhere. No class has a key, a hash, a password or a secret's value; masked variables of specs are hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.rule import RuleSpec
from headrace.manager.domain.masking import masked_spec
from headrace.manager.domain.records.agents import Agent
from headrace.manager.domain.records.joining import JoinToken
from headrace.manager.domain.records.services import NewService, ServiceFacts
from headrace.manager.domain.records.tokens import Token


class State(BaseModel):
    """State of a thing, as the audit log keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True, defer_build=True)

    @classmethod
    def of(cls, record: object) -> Self:
        """Return what is kept of a record that has the same names."""
        return cls.model_validate(record)


class UserState(State):
    """A user."""

    name: str
    operator: bool
    disabled_at: datetime | None = None


class PasswordState(State):
    """Whether a user has a password."""

    password: bool


class KeyState(State):
    """An API key, without the key."""

    name: str
    expires_at: datetime | None = None
    read_only: bool = False
    projects: tuple[str, ...] | None = None


class LoginState(State):
    """A login, without its token or cookie."""

    method: str
    form: str
    source_address: str
    ends_at: datetime


class LoginCodeState(State):
    """A one-time code, without the code."""

    expires_at: datetime


class ProjectState(State):
    """A project."""

    name: str
    description: str
    quota: Mapping[str, Decimal] | None
    resource_group: str | None = None
    features_off: tuple[str, ...] = ()


class MemberState(State):
    """A user's role in a project."""

    role: str


class FolderState(State):
    """A folder."""

    name: str
    usage_mode: str


class FolderShareState(State):
    """A share of a folder, or an invitation."""

    project: str | None
    user: str | None
    all_projects: bool
    permission: str


class FilesState(State):
    """Files that came into a folder, or left it."""

    path: str
    files: int | None = None
    """None: a file, or a directory with any number of them."""
    bytes: int | None = None


class ServiceState(State):
    """A service."""

    name: str
    description: str
    replicas: int
    goal: str
    open_to_public: bool
    resource_group: str
    metadata: Mapping[str, str]
    tags: tuple[str, ...]
    drain_grace_s: float
    endpoint_port: int | None
    balance: Mapping[str, Any]
    limits: Mapping[str, Any]
    caller_limits: Mapping[str, Any]
    cors: Mapping[str, Any]
    rollout: Mapping[str, Any]
    models: tuple[str, ...]
    revision: int
    spec: Mapping[str, Any] | None = None
    """Where the revision changes."""

    @classmethod
    def seen(cls, facts: ServiceFacts, spec: RevisionSpec | None = None) -> ServiceState:
        """Return what is kept of a service."""
        kept = {name: value for name, value in vars(facts.service).items() if name in cls.model_fields}
        wanted, revision = facts.service.wanted, facts.revision
        return cls(**kept, replicas=wanted, revision=revision, spec=spec_state(spec) if spec is not None else None)

    @classmethod
    def made(cls, new: NewService) -> ServiceState:
        """Return what is kept of a service that is created."""
        kept = {name: value for name, value in vars(new).items() if name in cls.model_fields and name != "spec"}
        documents: dict[str, Any] = {
            name: {key: one for key, one in (getattr(new.documents, name) or {}).items() if one is not None}
            for name in ("balance", "limits", "caller_limits", "cors", "rollout")
        }
        documents["models"] = new.documents.models or ()
        return cls(**(kept | documents), replicas=new.wanted, goal="running", revision=1, spec=spec_state(new.spec))


def spec_state(spec: RevisionSpec) -> dict[str, Any]:
    """Return a spec as it is kept: masked variables hidden, defaults left out."""
    return masked_spec(spec).model_dump(mode="json", exclude_defaults=True, warnings=False)


class ReplicaState(State):
    """A replica."""

    weight: int | None = None
    replacing: bool | None = None


class RolloutProgress(State):
    """The rollout of a service's current revision."""

    revision: int | None
    step: int | None = None
    paused: bool | None = None


class RuleState(State):
    """An autoscaling rule."""

    rule: RuleSpec


class TokenState(State):
    """A token, without the token."""

    name: str
    expires_at: datetime
    revoked: bool
    limits: RateLimits
    share: int

    @classmethod
    def seen(cls, token: Token, *, revoked: bool = False) -> TokenState:
        """Return what is kept of a token."""
        gone = revoked or token.revoked_at is not None
        return cls(name=token.name, expires_at=token.expires_at, revoked=gone, limits=token.limits, share=token.share)


class ClientState(State):
    """A named client, without its secret."""

    name: str
    limits: RateLimits
    share: int
    rotated_at: datetime | None


class WebhookState(State):
    """A webhook, without its URL, which may be a secret."""

    name: str
    secret: str
    """Name of the secret that signs."""
    kinds: tuple[str, ...]
    enabled: bool


class SecretState(State):
    """A secret, without its value."""

    name: str
    version: int


class ResourcePresetState(State):
    """A resource preset."""

    name: str
    description: str
    slots: Mapping[str, Decimal]


class ResourceGroupState(State):
    """A resource group."""

    name: str
    projects: tuple[str, ...] | None = None


class AgentState(State):
    """A machine, as far as operators set it."""

    resource_group: str
    labels: Mapping[str, str]
    addresses: tuple[str, ...] | None
    cordoned: bool
    cordon_reason: str
    draining: bool

    @classmethod
    def seen(cls, agent: Agent) -> AgentState:
        """Return what is kept of a machine."""
        return cls(
            resource_group=agent.resource_group,
            labels=agent.labels,
            addresses=agent.addresses,
            cordoned=agent.cordon is not None,
            cordon_reason=agent.cordon.reason if agent.cordon is not None else "",
            draining=agent.draining,
        )


class RemovedAgentState(State):
    """Whether a machine's reports are refused."""

    refused: bool


class JoinTokenState(State):
    """A join token, without the token."""

    kind: str
    resource_group: str
    labels: Mapping[str, str]
    uses: int
    expires_at: datetime
    revoked: bool

    @classmethod
    def seen(cls, token: JoinToken, *, revoked: bool = False) -> JoinTokenState:
        """Return what is kept of a join token."""
        return cls(
            kind=token.kind,
            resource_group=token.resource_group,
            labels=token.labels,
            uses=token.uses,
            expires_at=token.expires_at,
            revoked=revoked or token.revoked_at is not None,
        )


class IdentityState(State):
    """An identity on the bus."""

    revoked: bool


class ValidationState(State):
    """A trial run."""

    status: str
    spec: Mapping[str, Any] | None = None
