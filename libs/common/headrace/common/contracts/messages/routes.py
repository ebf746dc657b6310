"""Manager → app-proxies: how one service is reached."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt, StringConstraints

from headrace.common.contracts.cors import Cors
from headrace.common.contracts.ids import ClientId, ProjectId, RevisionId, ServiceId, SessionId, Slug, TokenId
from headrace.common.contracts.messages.envelope import Message, Part
from headrace.common.contracts.messages.reports import HealthStatus

SESSION_KEY = r"^((header|cookie):[A-Za-z0-9][A-Za-z0-9_.-]{0,99}|body:user)$"
ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,199}$")]
"""What callers put in `model`: a model's or an adapter's name."""


class Route(Part):
    """Route to one replica. `draining`: open requests finish until `drain_until`, new ones go elsewhere."""

    session_id: SessionId
    revision_id: RevisionId
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    health: HealthStatus
    state: Literal["active", "draining"] = "active"
    weight: NonNegativeInt = 100
    drain_until: AwareDatetime | None = None
    """When requests that are still open on a draining replica are told so and cut; soon after, it is stopped."""


class TokenKey(Part):
    """Ed25519 public key (base64url, unpadded) that verifies tokens with this `kid`."""

    kid: str
    public_key: str


class Revocation(Part):
    """Token that is refused although its signature is valid; kept until it would have expired."""

    token_id: TokenId
    expires_at: AwareDatetime


class Limits(Part):
    """Limits of one service at each app-proxy. None: the service sets no limit of its own."""

    max_in_flight_per_replica: PositiveInt | None = None
    max_queued: NonNegativeInt = 1000
    """Requests that may wait for a free replica at one app-proxy; further ones are answered 429."""
    queue_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """Longest wait in the queue: 429 where every replica is full, 503 where none serves."""
    max_body_bytes: PositiveInt | None = None
    first_byte_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    idle_timeout_s: Annotated[float, Field(gt=0)] = 300.0


BalancePolicy = Literal["least-in-flight", "round-robin", "session", "prefix"]


class Balance(Part):
    """Load-balancing policy.

    least-in-flight: the less loaded of two random replicas, drawn by weight. round-robin: in turn, exactly by weight.
    session: requests with the same `session_key` go to the same replica while it has room. prefix: requests with the
    same prompt prefix do (consistent hashing with bounded load over the first `prefix_bytes`).
    """

    policy: BalancePolicy = "least-in-flight"
    session_key: Annotated[str, StringConstraints(pattern=SESSION_KEY)] = "header:x-session-id"
    """`header:<name>`, `cookie:<name>` or `body:user`."""
    prefix_bytes: Annotated[int, Field(ge=16, le=16_384)] = 512
    load_factor: Annotated[float, Field(ge=1.0, le=10.0)] = 1.25
    """Session and prefix: a replica with more than this many times the mean load passes its requests on."""
    slow_start_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """How long a fresh replica's share grows from a tenth to its whole weight."""


LEAST_RATE: Final = 0.00001
"""Requests a second that are counted as a rate: less than one a day. Smaller ones count as this."""


class RateLimits(Part):
    """Limits of one caller over all app-proxies together. None is no limit."""

    requests_per_second: Annotated[float | None, Field(gt=0, le=1_000_000)] = None
    """Mean rate; a second's worth (at least one) may come at once."""
    in_flight: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    tokens_per_day: PositiveInt | None = None
    """Prompt and completion tokens: reserved when admitted, settled by the engine's `usage`."""


LIMITS_CLAIM = "limits"
"""Claim of a token: its limits as they were when it was signed, an object with the names of RateLimits. None is no limits."""
SHARE_CLAIM = "share"
"""Claim of a token: its share as it was when it was signed. None is 1."""


class TokenLimits(Part):
    """Limits and queue share of one token.

    They replace those in the token itself (LIMITS_CLAIM, SHARE_CLAIM), because they are never older. A token that is
    not listed has its own; tokens signed by older managers have none, and get `caller_limits` and share 1 then.
    """

    token_id: TokenId
    limits: RateLimits = RateLimits()
    share: Annotated[int, Field(ge=1, le=1000)] = 1
    """Weight in the queue: with 2, twice as many of its waiting requests go ahead as of a token with 1."""


class NamedClient(Part):
    """Client that calls with basic auth (`name:secret`), and is named to replicas in `X-Forwarded-User`."""

    client_id: ClientId
    name: Slug
    secret_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Hex digest of the secret, which is 256 random bits, so that it needs no slow hash."""
    limits: RateLimits = RateLimits()
    share: Annotated[int, Field(ge=1, le=1000)] = 1


class RouteTable(Message):
    """Manager → app-proxies: routes and settings of one service.

    Replaces any table of a lower generation; `removed` ends it.
    """

    subject: ClassVar = "route.{service_id}"
    v: Literal[1] = 1
    service_id: ServiceId
    generation: PositiveInt
    removed: bool = False
    name: Slug
    """Path segment, and host name label."""
    project_id: ProjectId
    """Tokens whose subject is the project open the service too."""
    project: Slug | None = None
    """The project's name; None where an older manager does not say it."""
    port: int | None = None
    """Port of its own, where configured."""
    models: tuple[ModelName, ...] = ()
    """Names beside its own under which the fleet's base URL (`/v1`) finds it by `model`, for callers of its project."""
    open_to_public: bool = False
    token_keys: tuple[TokenKey, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    clients: tuple[NamedClient, ...] = ()
    token_limits: tuple[TokenLimits, ...] = ()
    caller_limits: RateLimits = RateLimits()
    """For callers without limits of their own, each by itself; on a public service callers without a token count by address."""
    limits: Limits = Limits()
    balance: Balance = Balance()
    cors: Cors = Cors()
    wanted: NonNegativeInt = 0
    """Replicas asked for: tells 'none yet' from 'none wanted'."""
    stopped: bool = False
    """Whether a user stopped it: then it wants none for that reason."""
    gave_up: bool = False
    """Whether so many starts in a row failed that no more are tried until somebody retries."""
    scale_from_zero: bool = False
    """Whether a request may wait although no replica is wanted: something will want one because of it."""
    routes: tuple[Route, ...] = ()
