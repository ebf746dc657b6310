"""Manager → app-proxies: how one service is reached."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from headrace.common.contracts.ids import ProjectId, RevisionId, ServiceId, SessionId, Slug, TokenId
from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.messages.reports import HealthStatus


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Route(_Part):
    """One replica. `draining`: open requests finish, new ones go elsewhere."""

    session_id: SessionId
    revision_id: RevisionId
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    health: HealthStatus
    state: Literal["active", "draining"] = "active"
    weight: NonNegativeInt = 100


class TokenKey(_Part):
    """Ed25519 public key (base64url, unpadded) that tokens with this `kid` are verified with."""

    kid: str
    public_key: str


class Revocation(_Part):
    """A token that is refused although its signature holds; kept until it would have expired."""

    token_id: TokenId
    expires_at: AwareDatetime


class Limits(_Part):
    """Bounds of one service at each app-proxy. None is no limit of its own."""

    max_in_flight_per_replica: PositiveInt | None = None
    max_body_bytes: PositiveInt | None = None
    first_byte_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    idle_timeout_s: Annotated[float, Field(gt=0)] = 300.0


class RouteTable(Message):
    """Manager → app-proxies: everything about one service. Replaces any table of a lower generation; `removed` ends it."""

    subject: ClassVar = "route.{service_id}"
    v: Literal[1] = 1
    service_id: ServiceId
    generation: PositiveInt
    removed: bool = False
    name: Slug
    """Path segment, and host name label."""
    project_id: ProjectId
    port: int | None = None
    """Port of its own, where configured."""
    open_to_public: bool = False
    token_keys: tuple[TokenKey, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    limits: Limits = Limits()
    wanted: NonNegativeInt = 0
    """Replicas asked for: tells 'none yet' from 'stopped'."""
    routes: tuple[Route, ...] = ()
